# SPDX-License-Identifier: AGPL-3.0-or-later
"""The statement that hands out mail: whose turn it is first, then what of each turn is due.

A turn is an organisation and one of its domains. Turns are found by skipping from one to the
next in the index, so that nobody's mail, however much, is walked to come to somebody else's.
"""

from __future__ import annotations

# Lane by lane, each in order of its due time; what another claim has just locked is skipped.
_LANE = """
SELECT q.id, q.lease_owner IS NOT NULL AS is_suspect FROM relay_queueddelivery q
WHERE q.organisation_id = t.organisation_id AND q.domain = t.domain AND q.lane = {lane}
    AND q.due_at <= %(now)s AND (q.lease_expires_at IS NULL OR q.lease_expires_at < %(now)s)
"""
# A hold on mail to a domain has that domain behind an at-sign, and in front of that the sender's,
# with a space, where it is about mail of that one alone. Whether there is one is asked once.
RECIPIENT_DOMAIN = "coalesce(lower(substring(q.recipient FROM '@[^@]*$')), '')"
_FREE = f"""
AND q.message_id NOT IN (SELECT message_id FROM kept WHERE message_id IS NOT NULL)
AND (NOT (SELECT bool_or(strpos(domain, '@') > 0) IS TRUE FROM kept)
    OR (q.organisation_id, {RECIPIENT_DOMAIN}) NOT IN (
        SELECT organisation_id, domain FROM kept WHERE domain IS NOT NULL)
    AND (q.organisation_id, q.domain || ' ' || {RECIPIENT_DOMAIN}) NOT IN (
        SELECT organisation_id, domain FROM kept WHERE domain IS NOT NULL))
"""  # noqa: S608 - constants
_NEW, _AGAIN = (_LANE.format(lane=lane) + _FREE for lane in (0, 1))
_ENDING = _LANE.format(lane=2)  # needs no next hop, so no hold is about it
_FIRST = "ORDER BY q.due_at, q.id LIMIT"

TURNS = f"""
organisation(id) AS (
    (SELECT organisation_id FROM relay_queueddelivery WHERE organisation_id > %(after)s
        AND cardinality(%(named)b::uuid[]) = 0 ORDER BY organisation_id LIMIT 1)
    UNION ALL
    SELECT next.id FROM organisation, LATERAL (
        SELECT q.organisation_id AS id FROM relay_queueddelivery q
        WHERE q.organisation_id > organisation.id ORDER BY q.organisation_id LIMIT 1) next
), looked AS MATERIALIZED (
    SELECT h.id, coalesce(room.most, %(fresh)s) AS most, resume.domain AS resumed,
        coalesce(resume.domain, '') AS start
    FROM (SELECT id FROM (SELECT id FROM organisation LIMIT %(organisations)s) every
        UNION ALL SELECT unnest(%(named)b::uuid[])) h
    LEFT JOIN unnest(%(organisation)b::uuid[], %(room)b::bigint[]) room(id, most) ON room.id = h.id
    LEFT JOIN unnest(%(resume_organisation)b::uuid[], %(resume_domain)b::text[]) resume(id, domain)
        ON resume.id = h.id
), kept AS MATERIALIZED (
    SELECT organisation_id, domain, message_id FROM relay_hold
    WHERE ends_at IS NULL OR ends_at > %(now)s
    UNION ALL
    SELECT l.organisation, l.domain, NULL
    FROM unnest(%(left_organisation)b::uuid[], %(left_domain)b::text[]) l(organisation, domain)
), pair AS MATERIALIZED (
    SELECT l.id AS organisation_id, p.domain, p.nth, l.most,
        coalesce((SELECT r.most FROM unnest(%(turn_organisation)b::uuid[], %(turn_domain)b::text[],
            %(turn_room)b::bigint[]) r(organisation, domain, most)
            WHERE r.organisation = l.id AND r.domain = p.domain), %(fresh_turn)s) AS room
    FROM looked l CROSS JOIN LATERAL (
        WITH RECURSIVE step(domain, nth) AS (
            (SELECT q.domain, 1::bigint FROM relay_queueddelivery q
                WHERE q.organisation_id = l.id AND q.domain >= l.start ORDER BY q.domain LIMIT 1)
            UNION ALL
            SELECT next.domain, step.nth + 1 FROM step, LATERAL (
                SELECT q.domain FROM relay_queueddelivery q
                WHERE q.organisation_id = l.id AND q.domain > step.domain
                ORDER BY q.domain LIMIT 1) next
            WHERE step.nth < %(domains)s
        ) SELECT domain, nth FROM step) p
    WHERE l.most > 0
), turn AS MATERIALIZED (
    SELECT t.*, dense_rank() OVER (ORDER BY organisation_id) AS place,
        count(*) OVER (PARTITION BY organisation_id) AS domains,
        row_number() OVER (PARTITION BY organisation_id ORDER BY domain) AS number
    FROM (SELECT t.organisation_id, t.domain, t.most, t.room,
            (SELECT true FROM ({_ENDING} {_FIRST} 1) q) IS NOT NULL AS ending,
            NOT h.held AND (SELECT true FROM ({_NEW} {_FIRST} 1) q) IS NOT NULL AS new,
            NOT h.held AND (SELECT true FROM ({_AGAIN} {_FIRST} 1) q) IS NOT NULL AS again
        FROM pair t CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM kept k WHERE k.organisation_id = t.organisation_id
                AND k.message_id IS NULL AND coalesce(k.domain, t.domain) = t.domain) AS held
            OFFSET 0) h
        WHERE t.room > 0 OFFSET 0) t
    WHERE ending OR new OR again
), served AS MATERIALIZED (
    SELECT t.*, s.each, m.take, CASE WHEN ending THEN greatest(1, m.take / 5) ELSE 0 END AS ends,
        CASE WHEN again THEN floor(m.take * 0.2 + %(chance)s)::bigint ELSE 0 END AS reserve
    FROM turn t CROSS JOIN LATERAL (SELECT least(t.most, greatest(1,
        %(limit)s / (SELECT greatest(1, max(place)) FROM turn))) AS each OFFSET 0) s
    CROSS JOIN LATERAL (SELECT least(t.room, greatest(1, s.each / t.domains)) AS take OFFSET 0) m
    WHERE t.place <= %(limit)s AND t.number <= s.each
), ending AS MATERIALIZED (
    SELECT t.organisation_id, t.domain, t.take, d.* FROM served t CROSS JOIN LATERAL (
        {_ENDING} {_FIRST} t.ends FOR UPDATE SKIP LOCKED) d
    WHERE t.ending
), new AS MATERIALIZED (
    SELECT t.organisation_id, t.domain, t.take, d.* FROM served t CROSS JOIN LATERAL (
        {_NEW} {_FIRST} greatest(0, t.take - t.reserve - t.ends)
        FOR UPDATE SKIP LOCKED) d
    WHERE t.new
), due AS MATERIALIZED (
    SELECT id, take, is_suspect FROM ending UNION ALL
    SELECT id, take, is_suspect FROM new UNION ALL
    SELECT d.id, t.take, d.is_suspect FROM served t CROSS JOIN LATERAL (
        SELECT t.take - count(*) AS rest FROM (SELECT organisation_id, domain FROM new
            UNION ALL SELECT organisation_id, domain FROM ending) n
        WHERE n.organisation_id = t.organisation_id AND n.domain = t.domain) r
    CROSS JOIN LATERAL (
        {_AGAIN} {_FIRST} r.rest FOR UPDATE SKIP LOCKED) d
    WHERE t.again
)
"""  # noqa: S608 - constants

# A share may cut a message: who is left of its recipients comes with a later claim and goes in a
# transaction of its own, as RFC 5321 §4.5.3.1.10 has it for too many. That is one message of each
# turn and claim at most, and nobody gets it twice; taking it whole would cost a look at each.
# A lease that ran out is taken over here. Whether its dot mark was committed tells mail that
# certainly did not arrive from mail that may have: only the latter is flagged. A process that died
# over mail begun alone died of it: the first time counts as well then, which was nobody's. There is
# always a row: it says where the next claim goes on.
CLAIM = f"""
WITH RECURSIVE {TURNS}, taken AS (
    UPDATE relay_queueddelivery q SET fence = q.fence + 1, lease_owner = %(owner)s,
        lease_expires_at = %(until)s, dot_at = NULL,
        possible_duplicate = q.possible_duplicate OR q.dot_at IS NOT NULL,
        strikes = q.strikes + CASE WHEN q.begun_at IS NULL THEN 0 WHEN q.strikes = 0 THEN 1
            ELSE 2 END, begun_at = NULL,
        reason = CASE WHEN q.dot_at IS NULL THEN q.reason ELSE 'uncertain' END
    FROM due WHERE q.id = due.id
    RETURNING q.*, due.take, due.is_suspect
), read AS (
    SELECT t.id, t.fence, t.organisation_id, t.message_id, t.accepted_at, t.position, t.domain,
        t.recipient, t.notify, t.orcpt, t.attempts, t.expires_at, t.reason, t.possible_duplicate,
        t.delayed_notice_at, t.cancelled_at, t.strikes, t.lane = 2 AS is_ending, t.is_suspect,
        t.take, c.sender, c.body, c.smtputf8, c.ret, c.envid, c.hour_key_id, c.is_sandbox,
        c.require_tls, c.tls_optional,
        octet_length(c.ciphertext) AS octets, c.wrapped_key,
        CASE WHEN octet_length(c.ciphertext) <= %(inline)s AND row_number() OVER (
            PARTITION BY t.message_id ORDER BY t.position) = 1 THEN c.ciphertext END AS ciphertext
    FROM taken t LEFT JOIN relay_content c ON c.message_id = t.message_id
), seen AS MATERIALIZED (
    SELECT CASE WHEN (SELECT max(place) FROM turn) > %(limit)s
            THEN (SELECT organisation_id FROM turn WHERE place = %(limit)s LIMIT 1)
        WHEN (SELECT count(*) FROM looked) = %(organisations)s
            THEN (SELECT id FROM looked ORDER BY id DESC LIMIT 1) END AS organisation
), back AS (
    SELECT organisation_id AS organisation, domain || chr(1) AS domain FROM served
    WHERE number = each AND domains > each
    UNION ALL SELECT organisation_id, domain || chr(1) FROM pair WHERE nth = %(domains)s
    UNION ALL SELECT l.id, '' FROM looked l, seen
    WHERE l.resumed IS NOT NULL AND coalesce(l.id <= seen.organisation, true)
)
SELECT seen.organisation AS seen, back.organisations AS back_organisations,
    back.domains AS back_domains, read.*
FROM seen CROSS JOIN (
    SELECT array_agg(organisation) AS organisations, array_agg(domain) AS domains FROM back) back
LEFT JOIN read ON true
ORDER BY read.accepted_at, read.message_id, read.position
"""  # noqa: S608 - constants

# What cannot be read is struck by its number alone: tried again twice (one minute, five), and then
# set aside until its lifetime ends, as what fails later is (relay/quarantine.py).
_STRUCK = """
UPDATE relay_queueddelivery q SET strikes = q.strikes + 1, lease_owner = NULL,
    lease_expires_at = NULL, dot_at = NULL, begun_at = NULL,
    possible_duplicate = q.possible_duplicate OR q.dot_at IS NOT NULL,
    lane = CASE WHEN q.strikes < 2 THEN greatest(q.lane, 1) ELSE 2 END,
    due_at = CASE WHEN q.strikes < 2 THEN %(now)s + (q.strikes * 4 + 1) * interval '1 minute'
        ELSE greatest(q.expires_at, %(now)s + interval '15 minutes') END,
    reason = CASE WHEN q.strikes < 2 THEN q.reason ELSE 'quarantined' END
"""
PUT_OFF = f"""
{_STRUCK} FROM unnest(%(id)b::bigint[], %(fence)b::bigint[]) held(id, fence)
WHERE q.id = held.id AND q.fence = held.fence AND q.lease_owner = %(owner)s RETURNING q.id
"""
PUT_OFF_NEXT = f"""
WITH RECURSIVE {TURNS} {_STRUCK} FROM due WHERE q.id = due.id RETURNING q.id
"""
