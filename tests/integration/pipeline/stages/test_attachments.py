"""raw_documents: attachments of mails are documents of their own, under the laws of files."""

import zipfile
from email.message import EmailMessage
from pathlib import Path

from rag_assets.pipeline.status import read_status
from rag_assets.repositories.operations import documents
from tests.integration.pipeline.stages.test_documents import contents, failures, read_zoo
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write


def mail(*files: tuple[str, str | bytes], text: str = "See below.") -> bytes:
    message = EmailMessage()
    message["Subject"] = "Files"
    message.set_content(text)
    for name, content in files:
        data = content.encode() if isinstance(content, str) else content
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return bytes(message)


def attached(steps: Steps) -> dict[str, str | None]:
    return {path: content for path, content in contents(steps).items() if "!/" in path}


def test_an_unchanged_mail_is_not_read_and_its_attachments_stay(steps: Steps, folder: Path) -> None:
    inner = mail(("deep.csv", "port;ships\nOslo;12\n"))
    path = write(
        folder / "sub" / "m.eml", mail(("a.md", "# A\n"), ("a.md", "# B\n"), ("in.eml", inner), ("x.zip", b"PK\3\4"))
    )
    write(folder / "plain.md", "plain")
    steps.project("zoo", folder)
    first = steps.documents("zoo")
    assert (first["seen"], first["inserted"]) == (6, 6)
    found = attached(steps)
    assert found.keys() == {f"sub/m.eml!/{name}" for name in ("a.md", "a (2).md", "in.eml", "in.eml!/deep.csv")}
    assert found["sub/m.eml!/a (2).md"] == "# B\n"
    assert "Oslo" in str(found["sub/m.eml!/in.eml!/deep.csv"])
    [(report,)] = rows(steps.engine, "SELECT parse_report FROM rag.documents WHERE file_path = 'sub/m.eml'")
    assert report["attachments"] == ["a.md", "a (2).md", "in.eml"]
    assert "x.zip was not read" in report["notes"][0]
    [remark] = read_status(steps.engine)["remarks"]
    assert (remark["file_path"], list(remark["notes"])) == ("sub/m.eml", report["notes"])
    assert failures(steps) == {}

    assert read_zoo(steps, folder) == ([], [])
    again = steps.documents("zoo")
    assert (again["seen"], again["unchanged"], again["deleted"]) == (6, 6, 0)
    path.touch()
    assert read_zoo(steps, folder) == (["sub/m.eml"], []), "of a mail with the same bytes, nothing is parsed"


def test_of_a_changed_mail_only_what_differs_is_read(steps: Steps, folder: Path) -> None:
    path = write(folder / "m.eml", mail(("a.md", "a"), ("b.md", "b"), ("c.md", "c")))
    steps.project("zoo", folder)
    steps.documents("zoo")
    write(path, mail(("a.md", "a"), ("b.md", "another b")), age_s=30)
    assert read_zoo(steps, folder) == (["m.eml"], ["m.eml", "m.eml!/b.md"])
    assert attached(steps) == {"m.eml!/a.md": "a", "m.eml!/b.md": "another b"}
    # A row that was deleted by hand, or by a crash, comes back.
    with steps.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rag.documents WHERE file_path = 'm.eml!/a.md'")
    assert read_zoo(steps, folder) == (["m.eml"], ["m.eml", "m.eml!/a.md"])
    assert attached(steps)["m.eml!/a.md"] == "a"


def test_an_attachment_that_was_deleted_by_an_application_stays_away(steps: Steps, folder: Path) -> None:
    write(folder / "m.eml", mail(("a b!.md", "a"), ("b.md", "b")))
    steps.project("zoo", folder)
    steps.documents("zoo")
    [(id_, metadata)] = rows(steps.engine, "SELECT id, metadata FROM rag.documents WHERE file_path = 'm.eml!/a b!.md'")
    assert metadata["attached_to"] == "m.eml"
    with steps.engine.begin() as connection:
        documents.delete(connection, id_)
    assert steps.documents("zoo")["inserted"] == 0
    assert read_zoo(steps, folder) == ([], [])
    assert attached(steps) == {"m.eml!/b.md": "b"}


def test_attachments_of_mails_in_an_archive_are_documents(steps: Steps, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mails.zip", "w") as archive:
        archive.writestr("in/m.eml", mail(("a.md", "a"), ("invite.ics", "BEGIN:VEVENT\nSUMMARY:Talk\nEND:VEVENT\n")))
        archive.writestr("in/box.mbox", b"From a Mon Nov 30 10:00:00 2026\n" + mail(("a.md", "of a mailbox")))
    steps.project("zoo", f"zip://::{tmp_path / 'mails.zip'}")
    steps.documents("zoo")
    assert attached(steps) == {
        "in/m.eml!/a.md": "a",
        "in/m.eml!/invite.ics": "Event: Talk\n",
        "in/box.mbox!/a.md": "of a mailbox",
    }
    again = steps.documents("zoo")
    assert (again["unchanged"], again["inserted"], again["deleted"]) == (5, 0, 0)


def test_attachments_go_with_their_mail_without_confirmation(steps: Steps, folder: Path) -> None:
    path = write(folder / "m.eml", mail(*((f"{number}.md", "words") for number in range(5))))
    write(folder / "plain.md", "plain")
    steps.project("zoo", folder)
    steps.documents("zoo")
    assert len(attached(steps)) == 5
    path.unlink()
    assert steps.documents("zoo")["deleted"] == 6
    assert contents(steps) == {"plain.md": "plain"}


def test_a_setting_and_globs_decide_which_attachments_are_documents(steps: Steps, folder: Path) -> None:
    write(folder / "m.eml", mail(("a.md", "a"), ("b.txt", "b")))
    steps.project("zoo", folder)
    steps.documents("zoo")
    assert len(attached(steps)) == 2
    settings = steps.settings
    steps.settings = settings.model_copy(update={"mail_attachments": False})
    assert steps.documents("zoo")["deleted"] == 2
    steps.settings = settings
    assert steps.documents("zoo")["inserted"] == 2
    steps.project("zoo", folder, exclude=["*.txt"])
    assert steps.documents("zoo")["deleted"] == 1
    assert attached(steps) == {"m.eml!/a.md": "a"}
    assert read_zoo(steps, folder) == ([], [])
    steps.project("zoo", folder, include=["*.eml"])
    assert steps.documents("zoo")["inserted"] == 1


def test_an_attachment_that_cannot_be_parsed_has_failed_and_a_file_of_its_name_stays(
    steps: Steps, folder: Path
) -> None:
    write(folder / "m.eml", mail(("broken.pdf", b"%PDF-1.7 and then nothing"), ("a.md", "attached")))
    write(folder / "m.eml!" / "a.md", "a file")
    steps.project("zoo", folder)
    steps.documents("zoo")
    assert list(failures(steps)) == ["m.eml!/broken.pdf"]
    assert attached(steps).items() >= {"m.eml!/a.md": "a file", "m.eml!/a (2).md": "attached"}.items()
    assert steps.documents("zoo")["still_failed"] == 1
    assert steps.documents("zoo", retry_failed=True)["failed"] == 1


def test_a_mail_that_cannot_be_read_now_keeps_its_attachments(steps: Steps, folder: Path) -> None:
    path = write(folder / "m.eml", mail(("a.md", "a")))
    write(folder / "plain.md", "plain")
    steps.project("zoo", folder)
    steps.documents("zoo")
    path.unlink()
    path.symlink_to(folder / "nowhere")
    assert steps.documents("zoo")["failed"] == 1
    assert attached(steps) == {"m.eml!/a.md": "a"}


def test_characters_that_could_not_be_decoded_are_counted_and_listed(steps: Steps, folder: Path) -> None:
    write(folder / "damaged.txt", ("größer als üblich " * 50).encode() + b"\xff, and written on purpose: \xef\xbf\xbd.")
    write(folder / "fine.txt", "Only \ufffd on purpose.")
    write(folder / "damaged.csv", "a;b\nä;ö\nü;ß\näöü;äöüß\n".encode() + b"\xff;x\n")
    steps.project("zoo", folder)
    steps.documents("zoo")
    assert read_status(steps.engine)["undecoded_documents"] == [
        {"project": "zoo", "file_path": path, "replaced_characters": 1} for path in ("damaged.csv", "damaged.txt")
    ]
