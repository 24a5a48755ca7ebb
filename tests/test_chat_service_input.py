"""What the chat service refuses: each with a status and a sentence, and never a 500."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from chat_services import ChatService, threads_of, turn


@pytest.fixture(scope="module")
def service(shared_server, tmp_path_factory):
    """A service; what is refused changes nothing in it."""
    directory = tmp_path_factory.mktemp("chat")
    service = ChatService(directory, "--url", shared_server.url, "--delay", "0")
    yield service
    service.stop()


def refused(response, status=422):
    """See that it was refused with a sentence, and give that."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    detail = response.json()["detail"]
    assert isinstance(detail, str)
    assert 5 < len(detail) <= 1000
    return detail


RUN = ["/run", "/run/stream"]


@pytest.mark.parametrize("path", RUN)
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 422, "body: Field required"),
        (b"{", 422, "no JSON"),
        (b'{"prompt": "Hi"', 422, "no JSON"),
        (b"\xff\xfe\x00", 400, "parsing"),
        (b"\x80", 400, "parsing"),
        (b"null", 422, "body"),
        (b"[]", 422, "body"),
        (b'"text"', 422, "body"),
        (b"{}", 422, "prompt: Field required; user_id: Field required; thread_id"),
        (b'{"prompt": ' + b"1" * 5000 + b"}", 400, "parsing"),
        (b'{"a": ' * 20_000, 400, "parsing"),
        (b"[" * 100_000, 400, "parsing"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
def test_a_body_that_is_no_turn_is_refused(service, path, body, status, message):
    """Whatever it is instead."""
    headers = {"Content-Type": "application/json"}
    response = service.client.post(path, content=body, headers=headers)
    assert message in refused(response, status)


@pytest.mark.parametrize("path", RUN)
def test_a_body_of_another_type_is_refused(service, path):
    """A form on another site could send one without asking the browser's leave."""
    body = json.dumps(turn("Hi"))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = service.client.post(path, content=body, headers={"Content-Type": kind})
        refused(response)
    refused(service.client.post(path, content=body))


@pytest.mark.parametrize("path", [*RUN, f"{threads_of('a')}/b", "/health", "/nothing"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused(service, path, chunked):
    """Before all of it has come, whether its size was told or not."""
    pieces = (b"x" * 100_000 for _ in range(100))
    content = pieces if chunked else b"".join(pieces)
    response = service.client.request("POST", path, content=content)
    assert refused(response, 413) == "The body is larger than 131072 bytes."


def test_a_turn_at_its_limits_fits(service):
    """Also if every character is written as an escape."""
    body = turn("\U0001f600" * 8000, user="\u00e9" * 128, instructions="\u00e9" * 4000)
    headers = {"Content-Type": "application/json"}
    response = service.client.post("/run", content=json.dumps(body), headers=headers)
    assert response.status_code == 200


ODD_IDS = {
    "empty": "",
    "long": "x" * 129,
    "very long": "x" * 100_000,
    "slash": "a/b",
    "backslash": "a\\b",
    "dot": ".",
    "dots": "..",
    "newline": "a\nb",
    "newline at the end": "a\n",
    "nul": "a\0b",
    "escape": "a\x1bb",
    "c1": "a\x85b",
    "no UTF-8": "a\ufffdb",
    "surrogate": "a\ud800b",
}
OTHER_TYPES = [None, 1, 1.5, True, [], ["a"], {}, {"id": "a"}]


@pytest.mark.parametrize("path", RUN)
@pytest.mark.parametrize("field", ["user_id", "thread_id", "agent_name"])
@pytest.mark.parametrize("odd", ODD_IDS.values(), ids=ODD_IDS)
def test_an_odd_id_in_a_body_is_refused(service, path, field, odd):
    """The sentence names its field, and does not repeat it."""
    body = json.dumps({**turn("Hi"), field: odd})
    headers = {"Content-Type": "application/json"}
    detail = refused(service.client.post(path, content=body, headers=headers))
    assert detail.startswith(f"{field}: ")
    assert "xxx" not in detail


@pytest.mark.parametrize("path", RUN)
@pytest.mark.parametrize("field", ["user_id", "thread_id", "agent_name", "prompt", "instructions"])
@pytest.mark.parametrize("value", OTHER_TYPES, ids=repr)
def test_a_value_of_another_type_is_refused(service, path, field, value):
    """None of them is made a string of."""
    assert field in refused(service.client.post(path, json={**turn("Hi"), field: value}))


@pytest.mark.parametrize("path", RUN)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ""}, "prompt: "),
        ({"prompt": "x" * 8001}, "prompt: "),
        ({"prompt": "\ud800"}, "prompt: "),
        ({"instructions": "x" * 4001}, "instructions: "),
        ({"instructions": "\udfff"}, "instructions: "),
        ({"thread": "t1"}, "thread: "),
        ({"\ud800": "t1"}, ""),
        ({"x" * 2000: "t1"}, "xxx"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_text_or_field_that_cannot_be_used_is_refused(service, path, change, message):
    """Too long, empty, no text at all, or not asked for."""
    body = json.dumps({**turn("Hi"), **change})
    headers = {"Content-Type": "application/json"}
    assert message in refused(service.client.post(path, content=body, headers=headers))


def quoted(text: str) -> str:
    """Percent-encode every byte of a text."""
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("place", ["user", "agent", "thread"])
@pytest.mark.parametrize("odd", ODD_IDS.values(), ids=ODD_IDS)
def test_an_odd_id_in_a_path_is_refused(service, place, odd):
    """With 404 where it makes another path of it, and 422 elsewhere."""
    if len(odd) > 1000:
        odd = odd[:1000]  # the web server's own limit of a request's head comes first
    ids = {"user": "u", "agent": "a", "thread": "t", place: quoted(odd)}
    path = "/users/{user}/agents/{agent}/threads/{thread}".format(**ids)
    for method in ("GET", "DELETE"):
        response = service.client.request(method, path)
        refused(response, 404 if odd in {"", "a/b"} else 422)


def test_a_path_that_is_no_text_or_very_long_is_refused(service):
    """Bytes that are no UTF-8, or very many of them."""
    refused(service.client.get(f"{threads_of('a')}/%FF"))
    assert service.client.get(f"{threads_of('a')}/{'x' * 50_000}").status_code == 422


@pytest.mark.parametrize(
    "odd",
    ["a b", "a%2Fb", "%", "%25", "a:b", "sessions", "profile", "*", "{a}", "?a=b&c#d", "Zoë名"],
)
def test_other_odd_ids_work_everywhere(service, odd):
    """In the body and in paths, as users, agents and threads, and none reaches another's data."""
    assert service.run("My name is Alice.", odd, odd, agent_name=odd)["memory"]
    path = f"{threads_of(quoted(odd), quoted(odd))}"
    listed = service.client.get(path).json()["threads"]
    assert [thread["thread_id"] for thread in listed] == [odd]
    read = service.client.get(f"{path}/{quoted(odd)}").json()["messages"]
    assert read[0]["text"] == "My name is Alice."
    assert service.client.delete(f"{path}/{quoted(odd)}").status_code == 204
    assert service.client.get(path).json()["threads"] == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=101", "limit=x", "limit=", "limit=1e1", "limit=%00"),
        *("after=", "after=x", "after=1", "after=1:", "after=-1:x", "after=%ED%A0%80"),
        *("after=%00", f"after=1:{'x' * 2000}", f"after={'1' * 30}:x", "limit=" + "9" * 5000),
    ],
)
def test_a_page_that_cannot_be_is_refused(service, query):
    """A size or a place that no list has given."""
    assert refused(service.client.get(f"{threads_of('a')}?{query}")).startswith(query[:5])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/run", "POST"),
        ("PUT", "/run/stream", "POST"),
        ("POST", "/health", "GET"),
        ("POST", threads_of("a"), "GET"),
        ("PATCH", f"{threads_of('a')}/b", "GET, DELETE"),
        ("OPTIONS", f"{threads_of('a')}/b", "GET, DELETE"),
        ("POST", "/static/app.js", "GET, HEAD"),
        ("POST", "/", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_refused(service, method, path, allowed):
    """And those that it takes are named."""
    response = service.client.request(method, path)
    refused(response, 405)
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/users", "/users/a/threads", "/static/nothing", "/static/../app.py"],
)
def test_a_path_that_is_not_there_is_404(service, path):
    """No file of the service beside those of the page is given either."""
    assert service.client.get(path).status_code == 404


def test_files_beside_the_page_are_not_given(service):
    """Not by a path that goes up either."""
    for path in ("/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%2e%2e%2fchat.py"):
        assert service.client.get(path).status_code == 404


def test_schemathesis_finds_nothing(service, tmp_path):
    """Nor does it with bodies and paths that it makes from the service's own description."""
    options = ("--checks", "all", "--seed", "1", "--max-examples", "40", "--continue-on-failure")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
            *options,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 6" in done.stdout
    assert " 500 " not in service.log.read_text(errors="replace")
    assert "Traceback" not in service.log.read_text(errors="replace")
