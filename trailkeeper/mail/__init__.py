"""The month's report as a mail: rendered here, sent here.

`render` makes the files and the words, `message` makes them one MIME message, `smtp` hands that to
a server. Another way out (for example Graph's sendMail) is one more file that implements
`ports.mail.Mailer` and calls `message.compose`.
"""
