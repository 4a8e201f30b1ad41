"""The scripts of a page, read as a browser reads them."""

from html.parser import HTMLParser


class Scripts(HTMLParser):
    """The script elements of a page as a browser reads them, and its content policy.

    Attributes:
        texts: id and text of each script element.
        policy: the content policy.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: list[tuple[str | None, str]] = []
        self.policy = ""
        self._kind: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "script":
            self.texts.append((attributes.get("id"), ""))
            assert "src" not in attributes
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            name, text = self.texts.pop()
            self.texts.append((name, text + data))
