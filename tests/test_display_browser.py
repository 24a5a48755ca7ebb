"""What notebooks show, in Chromium: as it looks, and that nothing stored is more than text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from browsers import SCREENSHOTS, Browser
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_redis_memory import RedisChatMessageHistory, RedisMemory, Summary
from langchain_redis_memory.display import as_html
from langchain_redis_memory.display.words import in_line

pytestmark = pytest.mark.chromium

THEMES = {"light": ("#ffffff", "#1f1f1f"), "dark": ("#111111", "#e0e0e0")}


class Site:
    """A page, and all that is requested of its server."""

    def __init__(self):
        self.requested, self.page = [], b""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.requested.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(site.page)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"), ("browser", "performance"))
    yield browser
    browser.driver.quit()


def opened(browser, site, *shown, theme="light"):
    """Open a page that holds what is shown, as a notebook that was exported does."""
    back, text = THEMES[theme]
    browser.driver.get("about:blank")
    browser.driver.get_log("performance")
    site.requested.clear()
    outputs = "".join(f'<div class="output">{as_html(each)}</div>' for each in shown)
    style = f"background:{back};color:{text};margin:8px"
    head = '<meta charset="utf-8"><link rel="icon" href="data:,"><title>notebook</title>'
    site.page = f'<!doctype html>{head}<body style="{style}">{outputs}</body>'.encode()
    browser.driver.get(site.url)


def hostile(url):
    """Give texts that would be more than text wherever something were not escaped."""
    run = "window.ran=1"
    return [
        f"<script>{run}</script>",
        f"</details></summary></bdi></span></div></td></table><script>{run}</script>",
        f'<img src="{url}a" onerror="{run}"><img src=x onerror={run}>',
        f'" onmouseover="{run}" onclick="{run}" onfocus="{run}" style="background:url({url}b)',
        f"' onclick='{run}' x='",
        f"red;}}</style><style>*{{display:none;background:url({url}c)}}</style>",
        f"--><svg onload={run}><iframe src='javascript:{run}'></iframe><base href='{url}d'>",
        f"<a href='javascript:{run}'>x</a><form action='{url}e'><button>x</button></form>",
        f"&lt;script&gt;{run}&lt;/script&gt;&#60;script&#62;",
        f"<link rel=stylesheet href='{url}f'><meta http-equiv=refresh content='0;url={url}g'>",
        f"javascript:{run}",
        f"<noscript><p title='</noscript><img src={url}h onerror={run}>'>",
        f"<![CDATA[><script>{run}</script>]]><!--><script>{run}</script>",
        "{{constructor.constructor('window.ran=1')()}} $\\href{javascript:window.ran=1}{x}$",
    ]


def filled(memory, texts, url):
    """Store them wherever something can be stored, and give all that shows it."""
    everything = "\n".join(texts)
    for text in texts:
        call = {"name": text, "args": {text: text}, "id": text}
        invalid = {"name": text, "args": text, "id": None, "error": text}
        block = {"type": text, "x": text}
        pictures = [
            {"type": "image_url", "image_url": {"url": f"{url}picture"}},
            {"type": "image", "url": text},
            {"type": "image", "base64": "AAAA", "mime_type": text},
            {"type": "file", "file_id": text},
            {"type": "image_url", "image_url": f"data:{text},AAAA"},
        ]
        thought = {"type": "reasoning", "reasoning": text}
        memory.history(text, text, text).add_messages(
            [
                SystemMessage(text),
                HumanMessage([{"type": "text", "text": text}, block, *pictures], name=text),
                AIMessage([thought], tool_calls=[call], invalid_tool_calls=[invalid], name=text),
                ToolMessage(text, tool_call_id=text, artifact={text: text}),
                ChatMessage(text, role=text),
                ToolMessage(text, tool_call_id=f"{text}?", name=text),
            ]
        )
        memory.profile(text).set({text: {text: [text]}})
        memory.profile(text, agent=text).set({text: text})
    drop_in = RedisChatMessageHistory(everything, url=memory.address)
    drop_in.add_messages([HumanMessage(everything)])
    closed = RedisMemory.from_url(memory.address)
    closed.close()
    return [
        *(memory, drop_in, drop_in.conversation, Summary(everything, 1, datetime.now(UTC))),
        *(memory.history(text, text, text) for text in texts),
        *(memory.profile(text) for text in texts),
        *(memory.profile(text, agent=text) for text in texts),
        *(memory.sessions(text, text) for text in texts),
        *(memory.sessions(text, text)[0] for text in texts),
        *(closed.history(text, text, text) for text in texts),
        *(closed.profile(text) for text in texts),
        memory.forget_user(texts[0], dry_run=True),
    ]


INSIDE = """
const found = {names: new Set(), attributes: new Set(), ran: window.ran, title: document.title};
for (const element of document.querySelectorAll('.output *')) {
  found.names.add(element.localName);
  for (const attribute of element.attributes) found.attributes.add(attribute.name);
  for (const kind of ['mouseover', 'click', 'focus', 'toggle'])
    element.dispatchEvent(new Event(kind));
  if (element.localName === 'details') element.open = true;
}
found.ran = found.ran || window.ran;
found.text = [...document.querySelectorAll('.output')].map(e => e.textContent).join('\\n');
found.names = [...found.names]; found.attributes = [...found.attributes];
return found;
"""

AS_NOTEBOOKS_DO = """
const [outputs] = arguments;
document.body.replaceChildren(...outputs.map(html => {
  const output = document.createElement('div');
  output.className = 'output';
  output.innerHTML = html;
  for (const script of output.querySelectorAll('script')) {   // Jupyter runs those that it finds
    const again = document.createElement('script');
    again.textContent = script.textContent;
    script.replaceWith(again);
  }
  return output;
}));
"""


@pytest.mark.parametrize("way", ["exported", "in_a_notebook"])
def test_markup_that_was_stored_is_text(browser, site, memory, way):
    """Nothing of it runs, nothing is requested, no element is made of it, and all is seen."""
    texts = hostile(site.url)
    shown = filled(memory, texts, site.url)
    if way == "exported":
        opened(browser, site, *shown)
    else:
        opened(browser, site)
        browser.driver.execute_script(AS_NOTEBOOKS_DO, [as_html(each) for each in shown])
    found = browser.driver.execute_script(INSIDE)
    browser.picture(f"hostile_{way}")
    assert found["ran"] is None
    assert found["title"] == "notebook"
    assert set(found["names"]) == {
        *("div", "span", "bdi", "details", "summary"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert set(found["attributes"]) == {"style", "class", "dir", "open"}
    for text in texts:
        assert found["text"].count(in_line(text)) > 20
    assert site.requested == ["/"]
    events = (json.loads(e["message"])["message"] for e in browser.driver.get_log("performance"))
    sent = [e["params"]["request"]["url"] for e in events if e["method"].endswith("BeSent")]
    assert [url for url in sent if not url.startswith("data:,")] == [site.url]
    assert browser.complaints() == []


def friendly(memory):
    """Store what people and agents say."""
    history = memory.history("support", "alice", "trip to Lisbon")
    found = '{"flight": "TP 951", "from": "GVA", "to": "LIS", "departs": "07:05", "seats": 4}'
    history.add_messages(
        [
            SystemMessage("You help travellers. Be brief."),
            HumanMessage(
                "I need a flight from Geneva to Lisbon on Friday,\nin the morning please."
            ),
            AIMessage(
                [
                    {"type": "reasoning", "reasoning": "Search before 12:00, then hold a seat."},
                    {"type": "text", "text": "I'll look for one."},
                ],
                tool_calls=[
                    {
                        "name": "search_flights",
                        "args": {"from": "GVA", "to": "LIS", "before": "12:00"},
                        "id": "c1",
                    },
                    {"name": "hold_seat", "args": {"flight": "TP 951"}, "id": "c2"},
                ],
            ),
            ToolMessage(found, tool_call_id="c1"),
            ToolMessage("the airline did not answer", tool_call_id="c2", status="error"),
            AIMessage(
                "TP 951 leaves at 7:05 and has four seats. Holding one failed: shall I try again?"
            ),
            HumanMessage(
                [
                    {"type": "text", "text": "Yes. And is this passport still fine?"},
                    {
                        "type": "image",
                        "base64": "A" * 48_000,
                        "mime_type": "image/jpeg",
                    },
                ]
            ),
        ]
    )
    profile = memory.profile("alice")
    profile.set(
        {
            "name": "Alice",
            "seat": "aisle",
            "home": {"city": "Genève", "airports": ["GVA", "LYS"]},
            "newsletter": False,
        }
    )
    for session, ttl in (("hotel", 86_400.0), ("visa", None)):
        memory.history("support", "alice", session, ttl=ttl).add_messages([HumanMessage("Hi")])
    sessions = memory.sessions("support", "alice")
    receipt = memory.clear_user("support", "alice", dry_run=True)
    return history, profile, sessions, memory, receipt, memory.profile("nobody")


CONTRASTS = """
const numbers = text => text.match(/[\\d.]+/g).map(Number);
const luminance = rgb => {
  const [r, g, b] = rgb.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const back = numbers(getComputedStyle(document.body).backgroundColor);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let lowest = 21;
while (walker.nextNode()) {
  if (!walker.currentNode.data.trim()) continue;
  let opacity = 1, paper = back;
  for (let e = walker.currentNode.parentElement; e !== document.body; e = e.parentElement) {
    opacity *= Number(getComputedStyle(e).opacity);
    const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
    if (a) paper = paper.map((v, i) => v * (1 - a) + [r, g, b][i] * a);
  }
  const ink = numbers(getComputedStyle(walker.currentNode.parentElement).color);
  const seen = paper.map((v, i) => v * (1 - opacity) + ink[i] * opacity);
  const [dark, light] = [luminance(seen), luminance(paper)].sort((a, b) => a - b);
  lowest = Math.min(lowest, (light + 0.05) / (dark + 0.05));
}
return lowest;
"""


@pytest.mark.parametrize("theme", list(THEMES))
def test_it_can_be_read_on_light_and_on_dark(browser, site, memory, theme):
    """With the contrast that WCAG 2.2 asks of text (1.4.3), unfolded too."""
    browser.driver.set_window_size(800, 1500)
    opened(browser, site, *friendly(memory), theme=theme)
    browser.picture(f"notebook_{theme}")
    browser.driver.execute_script(
        "document.querySelectorAll('details').forEach(d => d.open = true)"
    )
    browser.picture(f"notebook_{theme}_unfolded")
    assert browser.driver.execute_script(CONTRASTS) >= 4.5
    assert browser.complaints() == []


def test_nothing_is_wider_than_the_notebook(browser, site, memory):
    """However long a word is, and on a narrow screen."""
    word = "x" * 500
    history = memory.history("a", "b", word)
    call = {"name": word, "args": {word: word}, "id": "1"}
    history.add_messages([HumanMessage(word, name=word), AIMessage("", tool_calls=[call])])
    memory.profile(word).set({word: {word: word}})
    shown = (history, memory.profile(word), memory.sessions("a", "b"), memory)
    for width in (800, 500):
        browser.driver.set_window_size(width, 900)
        opened(browser, site, *shown)
        browser.driver.execute_script(
            "document.querySelectorAll('details').forEach(d => d.open = true)"
        )
        browser.picture(f"narrow_{width}")
        scroll, client = browser.driver.execute_script(
            "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
        )
        assert scroll <= client


def test_a_call_is_folded_until_it_is_clicked(browser, site, memory):
    """And then shows what was given and what came of it."""
    browser.driver.set_window_size(800, 900)
    history, *_ = friendly(memory)
    opened(browser, site, history)
    card = browser.one(".output > div")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    assert card.screenshot(str(SCREENSHOTS / "conversation.png"))
    (call,) = (
        summary
        for summary in browser.driver.find_elements("css selector", "summary")
        if summary.text.startswith("search_flights")
    )
    result = call.find_element("xpath", "../div")
    assert not result.is_displayed()
    call.click()
    assert result.is_displayed()
    assert '"before": "12:00"' in result.text
    assert "TP 951" in result.text
