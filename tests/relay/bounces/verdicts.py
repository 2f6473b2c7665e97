# SPDX-License-Identifier: AGPL-3.0-or-later
"""Refusals at RCPT of mail to bo.larsen@modtager.example from post@kunde.example, judged by hand.

Codes are as misleading as in real life: many servers send 5.1.1 with whatever they say.
"""

from __future__ import annotations

# Somebody who reads it knows that nobody is there.
NOBODY_THERE = (
    (
        "550 5.2.1 The email account that you tried to reach is inactive. For more "
        "information, go to https://support.google.com/mail/?p=DisabledUser a640c23a62f3a - "
        "gsmtp"
    ),
    (
        "550 5.2.1 The email account that you tried to reach is disabled. Learn more at "
        "https://support.google.com/mail/?p=DisabledUser k9si - gsmtp"
    ),
    (
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bo.larsen@modtager.example not "
        "found by SMTP address lookup"
    ),
    "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found",
    (
        "554 delivery error: dd This user doesn't have a yahoo.com account "
        "(bo.larsen@modtager.example) [0] - mta4211.mail.gq1.yahoo.com"
    ),
    (
        "554 delivery error: dd Sorry your message to bo.larsen@modtager.example cannot be "
        "delivered. This account has been disabled or discontinued [#102]. - "
        "mta1268.mail.ne1.yahoo.com"
    ),
    "552 1 Requested mail action aborted, mailbox not found",
    (
        "550 5.1.1 <bo.larsen@modtager.example>: Recipient address rejected: User unknown in "
        "virtual mailbox table"
    ),
    (
        "550 5.1.1 <bo.larsen@modtager.example>: Recipient address rejected: User unknown in "
        "local recipient table"
    ),
    (
        "550 5.1.1 <bo.larsen@modtager.example>: Recipient address rejected: User unknown in "
        "relay recipient table"
    ),
    (
        "550 5.1.1 <bo.larsen@modtager.example>: Recipient address rejected: undeliverable "
        "address: host mail.modtager.example[192.0.2.7] said: 550 5.1.1 User unknown (in "
        "reply to RCPT TO command)"
    ),
    (
        "550 5.1.0 <bo.larsen@modtager.example>: Recipient address rejected: User unknown in "
        "virtual alias table"
    ),
    "550 Unrouteable address",
    "550 No Such User Here",
    "550 No such person at this address.",
    "550 5.1.1 ... User unknown",
    "550 5.1.1 sorry, no mailbox here by that name (#5.1.1 - chkuser)",
    "511 sorry, no mailbox here by that name (#5.1.1 - chkuser)",
    "550 5.1.1 Recipient bo.larsen@modtager.example does not exist here",
    "550 5.1.1 Mailbox does not exist",
    "550 5.1.6 Recipient no longer on server: bo.larsen@modtager.example",
    (
        "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550 "
        "[yQ1nPO1xMh2_t7c.uk12]"
    ),
    "550 5.1.1 Invalid recipient <bo.larsen@modtager.example> (#5.1.1)",
    "550 5.1.1 User Unknown - p3q8r1x2",
    "550 5.1.0 Recipient address rejected: user unknown",
    "550 5.1.1 <bo.larsen@modtager.example> is not a valid mailbox",
    "550 unknown user",
    "550 5.1.1 Ukendt modtager",
    "550 5.1.1 Adressaten findes ikke",
    "550 5.1.1 Brugeren bo.larsen@modtager.example findes ikke på denne server",
    "550 5.1.1 bo.larsen@modtager.example ... Benutzer unbekannt",
    "550 5.7.1 Recipient address rejected: user bo.larsen@modtager.example does not exist",
    "550 5.7.1 No such user!",
    "550 5.1.1 User unknown; see https://postmaster.modtager.example/policy/blocked.html",
    "550 5.1.1 mx-spamfilter-02.modtager.example: User unknown",
    "550 5.1.1 spamfilter.isp.example (192.0.2.1): no such user",
    "550 5.2.1 Mailbox disabled, not accepting messages",
    "550 5.2.1 This mailbox has been blocked due to inactivity",
    "550 5.1.1 account closed",
    "550 5.1.1 The user you are trying to contact is no longer with the company",
    "550 5.0.0 User unknown",
)
# The mail, its sender, where it came from, room, or now; or nothing that is certain.
PERHAPS_THERE = (
    (
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). "
        "[AM7EUR03FT015.eop-EUR03.prod.protection.outlook.com 2026-03-02T08:12:41.172Z 08DE7]"
    ),
    "551 5.1.6 User not local; please try <bo@ny.example>",
    "550 #5.1.0 Address rejected.",
    "550 Requested action not taken: mailbox unavailable",
    (
        "550 5.1.1 Mail rejected, user unknown. If you believe this is spam protection at "
        "fault contact abuse@modtager.example"
    ),
    (
        "550 5.7.26 Unauthenticated email from kunde.example is not accepted due to domain's "
        "DMARC policy. Please contact the administrator of kunde.example domain if this was a"
        " legitimate mail."
    ),
    (
        "550 5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail "
        "requires all senders to authenticate with either SPF or DKIM."
    ),
    (
        "550 5.7.25 The IP address sending this message does not have a PTR record setup, or "
        "the corresponding forward DNS entry does not point to the sending IP."
    ),
    (
        "550 5.2.1 The user you are trying to contact is receiving mail at a rate that "
        "prevents additional messages from being delivered. For more information, please "
        "visit https://support.google.com/mail/?p=ReceivingRatePerm"
    ),
    (
        "552 5.2.2 The recipient's inbox is out of storage space. Please direct the recipient"
        " to https://support.google.com/mail/?p=OverQuotaPerm - gsmtp"
    ),
    (
        "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending "
        "limits go to https://support.google.com/a/answer/166852"
    ),
    (
        "550 5.7.1 The user or domain that you are sending to (or from) has a policy that "
        "prohibited the mail that you sent. Please contact your domain administrator for "
        "further details."
    ),
    (
        "552 5.7.0 This message was blocked because its content presents a potential security"
        " issue. Please visit https://support.google.com/mail/?p=BlockedMessage"
    ),
    "552 5.3.4 Your message exceeded Google's message size limits.",
    "550 5.7.1 Messages missing a valid Message-ID header are not accepted.",
    "550 5.7.0 Mail relay denied [192.0.2.1]. Invalid credentials for relay",
    (
        "550 5.7.511 Access denied, banned sender[192.0.2.1]. To request removal from this "
        "list please forward this message to delist@microsoft.com."
    ),
    (
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from "
        "this list please visit https://sender.office.com/"
    ),
    "550 5.7.708 Access denied, traffic not accepted from this IP.",
    (
        "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus. To "
        "request removal from this list see https://www.spamhaus.org/query/ip/192.0.2.1 "
        "(AS3130)."
    ),
    (
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your"
        " Internet service provider since part of their network is on our block list (S3140)."
    ),
    (
        "550 5.7.515 Access denied, sending domain kunde.example does not meet the required "
        "authentication level."
    ),
    (
        "550 5.7.509 Access denied, sending domain kunde.example does not pass DMARC "
        "verification and has a DMARC policy of reject."
    ),
    (
        "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; "
        "Delivery restriction check failed because the sender was not authenticated when "
        "sending to this group"
    ),
    "550 5.7.124 RESOLVER.RST.SenderNotInAllowedSendersList; sender not in allowed-senders list",
    (
        "550 5.1.8 Access denied, bad outbound sender. For more information please go to "
        "http://go.microsoft.com/fwlink/?LinkId=875724."
    ),
    "550 5.7.64 TenantAttribution; Relay Access Denied",
    "550 5.4.316 Message expired, connection refused(Socket error code 10061)",
    "550 5.4.14 Hop count exceeded - possible mail loop",
    "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient",
    "554 5.2.2 mailbox full; STOREDRV.Deliver; delivery result banner",
    "554 5.2.122 Recipient has exceeded its limit of received messages per hour",
    (
        "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is "
        "in Spamhaus's list; see https://postmaster.yahooinc.com/550-bl23.html"
    ),
    (
        "554 5.7.9 Message not accepted for policy reasons. See "
        "https://postmaster.yahooinc.com/error-codes"
    ),
    "552 1 Requested mail action aborted, storage allocation exceeded",
    (
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
        "zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1"
    ),
    "554 5.7.1 <bo.larsen@modtager.example>: Relay access denied",
    (
        "550 5.7.1 <bo.larsen@modtager.example>: Recipient address rejected: Message rejected"
        " due to: SPF fail - not authorized. Please see http://www.openspf.net/Why"
    ),
    (
        "550 5.7.23 <bo.larsen@modtager.example>: Recipient address rejected: Message "
        "rejected due to: SPF fail - not authorized"
    ),
    "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
    "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
    "550 5.1.8 <post@kunde.example>: Sender address rejected: Domain not found",
    (
        "550 5.1.0 <post@kunde.example>: Sender address rejected: User unknown in virtual "
        "mailbox table"
    ),
    (
        "550 5.1.1 <post@kunde.example>: Sender address rejected: undeliverable address: host"
        " mx.kunde.example[192.0.2.9] said: 550 5.1.1 <post@kunde.example>: Recipient address"
        " rejected: User unknown (in reply to RCPT TO command)"
    ),
    "550 5.1.7 <post@kunde.example>: Sender address rejected: unverified address",
    "552 5.3.4 Message size exceeds fixed limit",
    "554 5.7.1 <bo.larsen@modtager.example>: Recipient address rejected: Access denied",
    "550 5.7.1 Message content rejected, id=12345-01 - spam",
    "554 5.7.0 Reject, id=00123-02 - INFECTED: Eicar-Signature",
    "550 High probability of spam",
    "550 Sender verify failed",
    "550 5.1.1 Verification failed for <post@kunde.example>; No such user; Sender verify failed",
    "550 relay not permitted",
    "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
    (
        "550 JunkMail rejected - mta.kunde.example [192.0.2.1]:4242 is in an RBL, see "
        "https://www.spamhaus.org"
    ),
    "550 This message was classified as SPAM and may not be delivered",
    "550 Rejected because 192.0.2.1 is in a black list at zen.spamhaus.org",
    (
        "550 Message rejected because of unacceptable content. For help, please quote "
        "incident ID 123."
    ),
    "550 Mailbox quota exceeded / Mailbox voll",
    "550 5.1.1 Mailbox full",
    "550 5.1.1 User over quota",
    "550 5.1.1 User mailbox exceeds allowed size: bo.larsen@modtager.example",
    "550 5.1.1 <bo.larsen@modtager.example>: mailbox is full (quota exceeded)",
    "550 5.1.1 Postkassen er fuld",
    "550 5.2.2 Modtagerens postkasse er fuld",
    "550 5.1.1 Your IP 192.0.2.1 is blocked due to bad reputation",
    "550 5.1.1 Too many messages from your host, slow down",
    "550 5.1.1 Message rejected due to local policy",
    "550 5.1.1 Recipient rejected: spam detected",
    "550 5.1.1 DMARC verification failed for kunde.example",
    "550 5.1.1 SPF check failed",
    "550 5.1.1 Sender <post@kunde.example> does not exist",
    "550 5.1.1 Sender address unknown",
    "550 5.1.1 The sender's mailbox does not exist",
    "550 5.1.1 Invalid sender domain kunde.example",
    "550 5.1.1 Envelope sender domain kunde.example has no MX record",
    "550 5.1.1 Relaying denied",
    "550 5.1.1 You are not allowed to send to this recipient",
    "550 5.1.1 Only members may post to this list",
    "550 5.1.1 Reverse DNS lookup failed for host 192.0.2.1",
    "550 5.1.1 Virus found in message",
    "550 5.1.1 Attachment type .exe not allowed",
    "550 5.1.1 Authentication required",
    "550 5.1.1 TLS required for this domain",
    "550 5.1.1 Greylisted, please try again in 5 minutes",
    "550 5.1.1 Service temporarily unavailable",
    "550 5.1.1 Recipient verification temporarily failed",
    "550 5.1.1 LDAP lookup failure, try again",
    "550 5.1.1 Internal error: backend database unavailable",
    "550 5.1.1 Connection timed out while talking to backend",
    "550 5.1.1 Address verification is disabled / message rejected as bulk",
    "550 5.1.1 Afsenderen er afvist",
    "550 5.1.1 Din IP-adresse er blokeret",
    "550 5.1.1 Meddelelsen er afvist som spam",
    "550 5.7.1 Afvist: din server er sortlistet",
    "550 5.7.1 Mail fra kunde.example modtages ikke",
    "550 5.1.1 Ihre Nachricht wurde als Spam abgelehnt",
    "550 5.1.1 Avvisad: avsändaren är blockerad",
    (
        "550 csi.mimecast.org Poor Reputation Sender. - "
        "https://community.mimecast.com/docs/DOC-1369#550 [abc.uk3]"
    ),
    (
        "550 Administrative prohibition - envelope blocked - "
        "https://community.mimecast.com/docs/DOC-1369#550 [x.uk]"
    ),
    "550 Rejected by header based manually Blocked Senders: post@kunde.example",
    "550 Rejected by header based Anti-Spoofing policy: post@kunde.example",
    (
        "554 Email rejected due to security policies - "
        "https://community.mimecast.com/docs/DOC-1369#554"
    ),
    (
        "550 SPF Sender Invalid - envelope rejected - "
        "https://community.mimecast.com/docs/DOC-1369#550"
    ),
    "550 Exceeding outbound thread limit",
    "554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
    "550 5.7.0 Local Policy Violation - abc1234",
    "554 5.7.1 Message blocked due to spam content in the message.",
    "550 5.7.1 Access denied...XYZ... ",
    "550 5.1.0 Sender rejected: post@kunde.example",
    "550 permanent failure for one or more recipients (bo.larsen@modtager.example:blocked)",
    (
        "550 permanent failure for one or more recipients (bo.larsen@modtager.example:550 "
        "5.7.1 blocked by policy)"
    ),
    (
        "554 Service unavailable; Client host [mta.kunde.example] blocked using Barracuda "
        "Reputation; http://www.barracudanetworks.com/reputation/?r=1&ip=192.0.2.1"
    ),
    (
        "550 Rule imposed mailbox access for bo.larsen@modtager.example refused: user invalid"
        " due to policy"
    ),
    "550 5.7.1 [R4] Message blocked due to spam content in the message.",
    "554 5.7.1 [192.0.2.1] Blocked by Cloudmark Sender Intelligence",
    "550 5.2.0 192.0.2.1 blocked by ldap:ou=rblmx,dc=att,dc=net Error - Blocked for abuse.",
    "550 5.1.1 PR(ct1) Requested mail action not taken: sending IP blocked",
    (
        "554 IP=192.0.2.1 - A problem occurred. Ask your postmaster for help or to contact "
        "post@rx.test to clarify. (NOWL)"
    ),
    (
        "554 Transaction failed. Reject due to policy restrictions. For explanation visit "
        "https://postmaster.gmx.net/en/case?c=r1601"
    ),
    (
        "550 Requested action not taken: mailbox unavailable. Reject due to policy "
        "restrictions. For explanation visit "
        "https://postmaster.gmx.net/en/case?c=hi&i=ip&v=192.0.2.1"
    ),
    "550 Requested action not taken: mailbox unavailable. Sender address is not allowed.",
    (
        "550 5.5.0 Requested action not taken: mailbox unavailable. Reason: Message blocked, "
        "sender reputation"
    ),
    "550 5.7.1 Spam message is rejected because of anti-spam policy",
    "550 5.7.1 rejected: Domain kunde.example is listed in SURBL",
    "550 5.7.1 TDC: Deres mailserver er midlertidigt blokeret pga. spam",
    "550 5.7.1 one.com: Sender IP 192.0.2.1 listed at sbl.spamhaus.org",
    "550 5.1.1 Simply.com: <bo.larsen@modtager.example> mail loop detected, too many hops",
    "554 5.4.6 Too many hops",
    "550 5.6.0 Message contains bare LF",
    "550 5.6.7 SMTPUTF8 required",
    "550 5.3.2 System not accepting network messages",
    "550 5.3.0 Rejected. Bad host",
    "550 5.5.1 Bad sequence",
    "550 5.5.3 Too many recipients",
    "550 5.1.1 Too many recipients specified in message",
    "550 5.1.1 Too many unknown users from your IP; blocked for 24 hours",
    "550 5.1.1 Too many invalid recipients",
    "550 Too many invalid recipients from 192.0.2.1",
    "550 5.7.1 Unknown users quota exceeded, blocked",
    "550 5.1.1 This account has reached its daily limit for received mail",
    "550 5.1.1 Out of memory",
    "550 5.2.1 Mailbox temporarily disabled: message rate too high",
    "550 5.2.1 User is over quota",
    "550 5.2.1 Recipient only accepts mail from known senders",
    "550 5.2.1 Delivery not authorized, message refused",
    "550 5.1.1 Recipient has blocked you",
    "550 5.7.1 You have been blocked by the recipient",
    "550 5.1.1 Challenge/response: please confirm your message at https://example.test/",
    "550 5.1.2 We do not relay for modtager.example",
    "550 5.1.2 Bad sender's system address",
    "550 5.1.1 Invalid HELO",
    "550 5.1.1 Your domain is on our blocklist",
    "550 5.1.1 Listed in zen.spamhaus.org",
    "550 5.1.1 No valid DKIM signature found",
    "550 5.1.1 Message lacks a valid From header",
    "550 5.1.1 Host 192.0.2.1 not allowed",
    "550 5.1.1 IP 192.0.2.1 has sent too much junk",
    "550 5.1.1 Message refused: looks like phishing",
    "550 5.1.1 Message refused by content filter",
    "550 5.1.1 Blacklisted URL in message",
    "550 5.1.1 Maximum connections exceeded",
    "550 5.1.1 Message too big",
    "550 5.1.1 Mailbox locked, temporarily not accepting mail",
    "550 5.1.1 Disk quota exceeded",
    "550 5.1.1 Not enough space for recipient",
    "550 5.1.1 The recipient's mailbox has insufficient storage",
    "550 5.1.1 PTR record missing",
    "550 5.1.1 Unauthenticated mail is prohibited",
    "550 5.1.1 Refused by recipient's security gateway: suspicious message",
    "550 5.1.1 Unknown user post@kunde.example in MAIL FROM",
    "550 5.1.1 Callout verification of post@kunde.example failed: user unknown",
    "550 5.1.1 <post@kunde.example>... User unknown",
    "550 <post@kunde.example>: no such user",
    "550 4.2.2 Mailbox full",
    "550 4.7.1 Greylisted",
    "552 Mailbox unavailable: over quota",
    "554 Transaction failed",
    "550 Access denied",
    "550 Rejected",
    "554 5.7.1 rejected",
    "550 5.0.0 Message rejected",
    "550 5.0.0 Denied by policy",
)
