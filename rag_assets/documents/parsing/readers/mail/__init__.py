"""Mail and what is stored like it: messages, mailboxes, web archives, Outlook's files, and their attachments."""

from rag_assets.documents.parsing.parse_report import ConvertedDocument


def read_mail(kind: str, data: bytes) -> ConvertedDocument:
    """Read a document of one of the types email, mbox, mhtml and msg."""
    if kind == "mbox":
        from rag_assets.documents.parsing.readers.mail.mailbox import read_mailbox

        return read_mailbox(data)
    if kind == "mhtml":
        from rag_assets.documents.parsing.readers.mail.web_archive import read_web_archive

        return read_web_archive(data)
    if kind == "msg":
        from rag_assets.documents.parsing.readers.mail.outlook import read_outlook_message

        return read_outlook_message(data)
    from rag_assets.documents.parsing.readers.mail.message import read_email

    return read_email(data)
