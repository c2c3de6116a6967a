"""Texts that try to take over a terminal, a screen or a reader's eyes. Rows 48 and 49.

Each one carries a marker of its own, `EVILnnn`, behind or inside what it does, so that a test finds
what became of it in a stream of bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.base.text import clean

_ATTACKS = {
    "title, OSC 0 and BEL": "\x1b]0;pwned {m}\x07 {m}",
    "title, OSC 2 and ST": "\x1b]2;pwned {m}\x1b\\ {m}",
    "icon name, OSC 1": "\x1b]1;pwned {m}\x07 {m}",
    "palette, OSC 4": "\x1b]4;1;#000000\x07 {m}",
    "working directory, OSC 7": "\x1b]7;file://evil/{m}\x07 {m}",
    "hyperlink, OSC 8": "\x1b]8;;https://evil.example/{m}\x1b\\click {m}\x1b]8;;\x1b\\",
    "notification, OSC 9": "\x1b]9;you won {m}\x07 {m}",
    "progress, OSC 9;4": "\x1b]9;4;1;50\x07 {m}",
    "foreground, OSC 10": "\x1b]10;#000000\x07 {m}",
    "background query, OSC 11": "\x1b]11;?\x07 {m}",
    "pointer shape, OSC 22": "\x1b]22;crosshair\x07 {m}",
    "font, OSC 50": "\x1b]50;evil {m}\x07 {m}",
    "clipboard write, OSC 52": "\x1b]52;c;cm0gLXJmIH4K\x07 {m}",
    "clipboard read, OSC 52": "\x1b]52;c;?\x1b\\ {m}",
    "prompt mark, OSC 133": "\x1b]133;A\x07 {m}",
    "notification, OSC 777": "\x1b]777;notify;evil;{m}\x07 {m}",
    "iTerm2 file, OSC 1337": "\x1b]1337;File=name=ZXZpbA==;inline=1:QUFBQQ==\x07 {m}",
    "OSC that nobody closes": "{m} \x1b]52;c;cm0gLXJmIH4K",
    "OSC closed by C1 ST": "\x1b]0;pwned\x9c {m}",
    "OSC cut by another": "\x1b]0;a\x1b]52;c;cm0K\x07 {m}",
    "OSC over two lines": "\x1b]52;c;cm0g\nLXJmIH4K\x07 {m}",
    "clear screen": "\x1b[2J\x1b[H {m}",
    "clear scrollback": "\x1b[3J {m}",
    "cursor report": "\x1b[6n {m}",
    "device attributes": "\x1b[c\x1b[>c\x1b[=c {m}",
    "title report": "\x1b[21t {m}",
    "resize window": "\x1b[8;1;1t {m}",
    "alternate screen off": "\x1b[?1049l {m}",
    "alternate screen on": "\x1b[?1049h {m}",
    "mouse mode": "\x1b[?1000h\x1b[?1006h {m}",
    "bracketed paste off": "\x1b[?2004l {m}",
    "cursor off": "\x1b[?25l {m}",
    "application keys": "\x1b[?1h\x1b= {m}",
    "insert mode": "\x1b[4h {m}",
    "concealed": "\x1b[8m {m}",
    "reverse and blink": "\x1b[5;7m {m}",
    "scroll region": "\x1b[2;3r {m}",
    "cursor home and overwrite": "all is well\x1b[1;1H\x1b[K {m}",
    "repeat a letter": "x\x1b[99999b {m}",
    "kitty keyboard": "\x1b[>1u {m}",
    "CSI with a cut end": "{m} \x1b[",
    "CSI with many digits": "\x1b[" + "9" * 400 + "m {m}",
    "reset, ESC c": "\x1bc {m}",
    "save and restore": "\x1b7\x1b8 {m}",
    "line drawing charset": "\x1b(0qqq {m}",
    "screen alignment": "\x1b#8 {m}",
    "device control, DCS": "\x1bP1$r0m{m}\x1b\\ {m}",
    "termcap query, DCS": "\x1bP+q544e\x1b\\ {m}",
    "user keys, DCS": "\x1bP1;1|17/726d202d7266\x1b\\ {m}",
    "sixel": '\x1bPq"1;1;9;9#0;2;0;0;0~~\x1b\\ {m}',
    "tmux passthrough": "\x1bPtmux;\x1b\x1b]52;c;cm0K\x07\x1b\\ {m}",
    "screen passthrough": "\x1bP\x1b]0;pwned\x07\x1b\\ {m}",
    "screen title": "\x1bkpwned\x1b\\ {m}",
    "kitty graphics, APC": "\x1b_Gf=100,a=T;QUFBQQ==\x1b\\ {m}",
    "privacy message": "\x1b^pwned\x1b\\ {m}",
    "start of string": "\x1bXpwned\x1b\\ {m}",
    "C1 CSI": "\x9b2J\x9b31m {m}",
    "C1 OSC": "\x9d52;c;cm0K\x9c {m}",
    "C1 DCS": "\x90q~~\x9c {m}",
    "C1 APC, PM, SOS": "\x9fa\x9c\x9eb\x9c\x98c\x9c {m}",
    "C1 NEL, IND, RI": "\x85\x84\x8d {m}",
    "overlong UTF-8 ESC": b"\xc0\x9b[2J\xe0\x80\x9b]0;x\x07".decode("utf-8", "replace") + " {m}",
    "raw bytes in a file name": b"\x9b2J\xff\xfe".decode("utf-8", "surrogateescape") + " {m}",
    "lone surrogates": "\ud800\udc00\udfff {m}",
    "bell": "\x07\x07\x07 {m}",
    "backspaces": "good\b\b\b\bevil {m}",
    "carriage return": "all is well {m}\rerased {m}",
    "vertical tab and form feed": "a\x0bb\x0cc {m}",
    "NUL and DEL": "\x00a\x7fb {m}",
    "shift out": "\x0eqqq\x0f {m}",
    "ENQ, XOFF, EOT, SUB": "\x05\x13\x04\x1a {m}",
    "tabs": "\t\t\t{m}\t",
    "many lines": "a\n" * 30 + "{m}",
    "line and paragraph separators": "a\u2028b\u2029{m}",
    "right-to-left override": "\u202egpj.exe {m}",
    "isolates": "\u2066\u2067\u2068{m}\u2069",
    "embedding never closed": "\u202a\u202b{m}",
    "marks of direction": "\u200e\u200f\u061c{m}",
    "zero-width": "pass\u200bword\u2060\ufeff\u00ad {m}",
    "joiners between letters": "p\u200da\u200cs\u200ds {m}",
    "tags": "\U000e0065\U000e0076\U000e0069\U000e006c {m}",
    "selectors that carry bytes": "x\ufe00\ufe01\ufe02\ufe03\ufe04\ufe05\ufe06 {m}",
    "pile of accents": "Z" + "\u0301\u0316" * 300 + " {m}",
    "pile of Thai vowels": "ก" + "\u0e47" * 300 + " {m}",
    "annotations": "\ufff9a\ufffab\ufffb {m}",
    "closing tag": "[/] {m}",
    "wrong closing tag": "[/INST] {m} [/bold]",
    "opening tag never closed": "[bold red on blue]{m}",
    "half a tag": "[bold {m}",
    "lone bracket": "] {m} [",
    "link tag": "[link=https://evil.example]{m}[/link]",
    "action tag": "[@click=app.quit]{m}[/]",
    "action with arguments": "[@click=\"app.copy('evil')\"]{m}[/]",
    "style with a variable": "[$error]{m}[/]",
    "escaped bracket": "\\[bold]{m}\\",
    "emoji name": ":smile: :skull: {m}",
    "format signs": "%s %n {0} {m} ${HOME} $(id) `id`",
    "long line": "A" * 5000 + " {m}",
    "wide letters": "漢" * 200 + " {m}",
    "Hebrew and Arabic": "שלום مرحبا {m}",
    "family": "👩‍👩‍👧‍👦🏴‍☠️❤️‍🔥 {m}",
}


@dataclass(frozen=True)
class Hostile:
    """One text.

    Attributes:
        marker: `EVILnnn`, part of the text.
        tricks: The characters in it that must never reach a terminal, as runs with what follows.
    """

    name: str
    marker: str
    text: str

    @property
    def one_line(self) -> str:
        """The text without line ends, for where a line is the unit."""
        return re.sub(r"[\n\r]", " ", self.text)

    @property
    def as_yaml(self) -> str:
        """The text as a double-quoted YAML value, every odd character escaped."""
        return '"' + "".join(_yaml_escape(letter) for letter in self.text) + '"'

    @property
    def as_file_name(self) -> str:
        """The text as far as a file system takes it for a name."""
        return self.text.replace("/", "|").replace("\x00", "")[:60].strip(". ")


def _yaml_escape(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isascii() and letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code < 0xE000:
        return "?"
    return f"\\U{code:08x}"


CORPUS = [
    Hostile(name, f"EVIL{number:03}", template.replace("{m}", f"EVIL{number:03}"))
    for number, (name, template) in enumerate(_ATTACKS.items())
]

# What may stand in output of ours between the sequences that the app itself sends.
FORBIDDEN = re.compile(
    "[\x00-\x06\x07\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def sequences(output: bytes) -> set[str]:
    """The control sequences in what a program wrote, numbers left out of colours and positions."""
    text = output.decode("utf-8", "surrogateescape")
    found = set()
    pattern = (
        "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?"
    )
    for sequence in re.findall(pattern, text):
        found.add(re.sub(r"[\d;:]+(?=[mH]$)", "", sequence))
    return found


def is_inert(text: str) -> bool:
    """Whether a text holds nothing that a terminal obeys."""
    return "\x1b" not in text and FORBIDDEN.search(text) is None and clean(text) == text
