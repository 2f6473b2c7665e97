// SPDX-License-Identifier: AGPL-3.0-or-later
// Submits the message on standard input with nodemailer: node submit.js <JSON options>
"use strict";

const fs = require("fs");
const nodemailer = require("nodemailer");

const options = JSON.parse(process.argv[2]);
const transport = nodemailer.createTransport({
  host: "localhost",
  port: options.port,
  secure: options.implicit,
  requireTLS: !options.implicit,
  auth: { user: options.username, pass: options.password, method: options.method },
  tls: { ca: fs.readFileSync(options.ca_file) },
});
transport
  .sendMail({
    envelope: { from: options.sender, to: options.recipients },
    raw: fs.readFileSync(0),
  })
  .then(() => process.exit(0))
  .catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
