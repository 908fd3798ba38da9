import pytest

from rag_assets.documents.parsing.readers.structured.subtitles import read_subtitles

SRT = """1
00:00:01,000 --> 00:00:04,000 X1:10
<i>The tram leaves</i>
from the {\\an8}old harbour.

2
00:00:05,000 --> 00:00:06,000
1984

3
00:00:07,000 --> 00:00:08,000
ANA: Where?
- There.
"""
VTT = """WEBVTT - a title
Kind: captions

NOTE
A note that nobody sees

STYLE
::cue { color: red }

intro
00:01.000 --> 00:04.000 align:start
<v Roger Bingham>We are in <00:02.000><c>New York</c>
City &amp; Co

00:05.000 --> 00:06.000
<v.loud Neil>Yes.</v>
"""
SBV = "0:00:01.000,0:00:03.000\nThe tram\n\n0:00:03.000,0:00:05.000\nleaves now.\n"
ASS = """[Script Info]
Title: x

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,hidden
Dialogue: 0,0:00:01.00,0:00:02.00,Default,Ana,0,0,0,,{\\i1}The tram{\\i0},\\Nsays she.
"""
LRC = "[ti:A song]\n[00:12.00]Line one\n[00:17.20]line two\n"

TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml"><head><styling><style xml:id="s1"/></styling></head><body><div>
<p begin="00:00:01.000" end="00:00:03.000" region="r"><span style="s1">The tram</span><br/>leaves &amp; stops.</p>
<p begin="4s" end="5s"/><p begin="5s" end="6s">Where?</p></div></body></tt>
"""
SAMI = """<SAMI><HEAD><STYLE TYPE="text/css"><!-- P { color: white } --></STYLE></HEAD><BODY>
<SYNC Start=1000><P Class=ENCC>The tram<br>leaves.
<SYNC Start=3000><P Class=ENCC>&nbsp;
<SYNC Start=4000><P Class=ENCC>Where?</BODY></SAMI>
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TTML, "The tram leaves & stops.\nWhere?\n"),
        (SAMI, "The tram leaves.\nWhere?\n"),
        (SRT, "The tram leaves from the old harbour.\n1984\nANA: Where?\n- There.\n"),
        (VTT, "Roger Bingham: We are in New York City & Co\nNeil: Yes.\n"),
        (SBV, "The tram leaves now.\n"),
        (ASS, "Ana: The tram, says she.\n"),
        (LRC, "A song.\nLine one line two\n"),
        ("", ""),
    ],
)
def test_subtitles_become_running_text(text: str, expected: str) -> None:
    assert read_subtitles(text) == expected
    assert read_subtitles("\ufeff" + text) == expected


def test_cues_without_empty_lines_between_them_are_told_apart() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:02,000 --> 00:00:03,000\ntwo\n"
    assert read_subtitles(text) == "One two\n"


def test_lines_that_captions_repeat_while_they_roll_stand_once() -> None:
    cues = [("a tram", ""), ("a tram", "leaves at"), ("leaves at", "noon")]
    text = "WEBVTT\n\n" + "".join(
        f"00:0{at}.000 --> 00:0{at + 1}.000\n{first}\n{second}\n\n" for at, (first, second) in enumerate(cues)
    )
    assert read_subtitles(text) == "a tram leaves at noon\n"


def test_a_file_that_holds_no_subtitles_keeps_its_text() -> None:
    assert read_subtitles("Notes of a meeting.\nSecond line\n") == "Notes of a meeting.\nSecond line\n"
