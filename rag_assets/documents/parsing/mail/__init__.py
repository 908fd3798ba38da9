"""Mail and what is stored like it: messages, mailboxes, web archives, Outlook's files, and their attachments."""
