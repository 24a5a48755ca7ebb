"""The chat service's page, driven in Chromium as a person does it."""

from __future__ import annotations

import pytest
from browsers import Browser
from chat_services import ChatService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from servers import BINARY, Node

from langchain_redis_memory.offline_model import HELP

pytestmark = pytest.mark.chromium


class Visitor(Browser):
    """Somebody on the page."""

    def open(self, service: ChatService) -> None:
        """Open the page as somebody new, or as who was here before."""
        self.driver.get(service.url)

    def wait_for_state(self, state: str) -> None:
        """Wait until the page tells how the memory is."""
        self.wait(lambda: self.one("#state").get_attribute("data-state") == state, f"is {state}")

    def wait_for_messages(self, *expected: str) -> None:
        """Wait until these are the conversation's texts, and all replies complete."""
        self.wait(lambda: self.messages() == list(expected), f"the messages are {expected}")
        self.wait(self.is_idle, "the reply is complete")

    def messages(self) -> list[str]:
        """Read the texts of the conversation."""
        return self.texts("#log .text")

    def is_idle(self) -> bool:
        """Tell whether no reply is coming."""
        return self.one("#send").is_displayed()

    def say(self, text: str) -> str:
        """Say something, and give the reply when it is complete."""
        self.wait(self.is_idle, "one can say something")
        before = len(self.messages())
        self.one("#prompt").send_keys(text, Keys.ENTER)
        self.wait(lambda: len(self.messages()) == before + 2, "it was said")
        self.wait(self.is_idle, "the reply is complete")
        return self.messages()[-1]

    def become(self, user: str) -> None:
        """Enter another user's id."""
        field = self.one("#user")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(user, Keys.TAB)


def complain_not(browser: Browser) -> None:
    """See that no script failed, and that nothing tried what the page's policy forbids."""
    assert browser.complaints() == []


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory):
    """A browser for all tests: each has a service on a port of its own, and so its own storage."""
    browser = Visitor(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(shared_browser):
    """The browser, as somebody who was never here."""
    yield shared_browser
    complain_not(shared_browser)
    shared_browser.driver.get("about:blank")


@pytest.fixture
def other_browser(tmp_path):
    """A browser of somebody else."""
    browser = Visitor(tmp_path / "browser")
    yield browser
    complain_not(browser)
    browser.driver.quit()


@pytest.fixture
def redis_node(tmp_path):
    """A server that keeps what it has acknowledged."""
    node = Node(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always", binary=BINARY)
    yield node
    node.stop()


@pytest.fixture
def service(redis_node, tmp_path):
    """A service on that server."""
    url = f"redis://127.0.0.1:{redis_node.port}/0"
    service = ChatService(tmp_path, "--url", url, "--delay", "0.01", deadline=5)
    yield service
    service.stop()


def test_a_conversation_survives_the_kill_of_server_and_service(
    browser, other_browser, service, redis_node
):
    """The page resumes it after a reload, and another user never sees it."""
    browser.open(service)
    browser.wait_for_state("memory")
    assert browser.say("My name is Alice.") == "Nice to meet you, Alice."

    redis_node.kill()
    service.kill()
    browser.wait_for_state("unreachable")
    redis_node.start()
    service.start()
    browser.driver.refresh()
    browser.wait_for_state("memory")
    browser.wait_for_messages("My name is Alice.", "Nice to meet you, Alice.")
    assert browser.say("What is my name?") == "Your name is Alice."
    browser.picture("after_a_kill")

    other_browser.open(service)
    other_browser.wait_for_state("memory")
    assert "does not say" in other_browser.say("What is my name?")
    assert "Alice" not in other_browser.texts("body")[0]


def test_another_user_of_the_same_browser_sees_nothing(browser, service):
    """And who comes back finds the own conversation."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.become("alice")
    browser.say("My name is Alice.")
    browser.become("bob")
    browser.wait(lambda: browser.messages() == [], "nothing of alice's is seen")
    assert "does not say" in browser.say("What is my name?")
    browser.become("alice")
    browser.wait_for_messages("My name is Alice.", "Nice to meet you, Alice.")


MARKUP = [
    '<img src=x onerror="window.ran = 1">',
    "<script>window.ran = 1</script>",
    '"><svg onload="window.ran = 1"><a href="javascript:window.ran = 1">&amp;</a>',
]


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_in_a_message_stays_text(browser, service, markup):
    """When it is said, in the model's reply, and when it is read again; nothing of it runs."""
    said, reply = f"My name is {markup}", f"Nice to meet you, {markup}."
    browser.open(service)
    browser.wait_for_state("memory")
    assert browser.say(said) == reply
    browser.picture(f"markup_{MARKUP.index(markup)}")
    browser.driver.refresh()
    browser.wait_for_messages(said, reply)
    found = browser.driver.execute_script(
        "return [window.ran, document.querySelectorAll('#log :is(img, script, svg, a)').length]"
    )
    assert found == [None, 0]


@pytest.mark.parametrize("user", ["a <b>& 100% \"'?#", "Zoë 名", "%2e%2e;x=1"])
def test_odd_ids_of_users_work(browser, service, user):
    """They are part of paths, and stay whole."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.become(user)
    browser.say("My name is Alice.")
    browser.driver.refresh()
    browser.wait_for_messages("My name is Alice.", "Nice to meet you, Alice.")
    assert browser.one("#user").get_attribute("value") == user


def test_an_id_that_is_refused_is_told(browser, service):
    """In the service's words."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.become("a\\b")
    browser.wait(
        lambda: any("backslash" in note for note in browser.texts("#log .note")), "it is told"
    )


def test_without_redis_the_page_answers_and_says_so(browser, service, redis_node):
    """And memory is back when Redis is."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.say("My name is Alice.")
    assert not browser.one("#banner").is_displayed()

    redis_node.kill()
    browser.wait_for_state("stateless")
    assert "Memory is away" in browser.one("#banner").text
    assert "does not say" in browser.say("What is my name?")
    assert browser.texts("#log .note") == ["answered without memory, and not kept"]
    browser.picture("without_memory")

    redis_node.start()
    browser.wait_for_state("memory")
    assert not browser.one("#banner").is_displayed()
    assert browser.say("What is my name?") == "Your name is Alice."


def test_a_page_that_was_opened_without_redis_resumes_when_it_is_back(browser, service, redis_node):
    """Without another reload."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.say("My name is Alice.")
    redis_node.kill()
    browser.driver.refresh()
    browser.wait_for_state("stateless")
    assert browser.messages() == []
    redis_node.start()
    browser.wait_for_messages("My name is Alice.", "Nice to meet you, Alice.")


def test_threads_are_started_listed_opened_and_deleted(browser, service):
    """The list shows those of the user, and which one is open."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.become("alice")
    browser.say("My name is Alice.")
    browser.wait(lambda: count(browser) == 1, "the first is listed")
    browser.one("#new").click()
    browser.wait(lambda: browser.messages() == [], "a new one is begun")
    assert "does not say" in browser.say("What is my name?")
    browser.wait(lambda: count(browser) == 2, "both are listed")
    assert browser.texts("[aria-current=true] small") == ["2 messages"]
    browser.driver.find_elements(By.CSS_SELECTOR, "#threads .open")[1].click()
    browser.wait_for_messages("My name is Alice.", "Nice to meet you, Alice.")
    browser.say("I live in Lisbon.")
    browser.say("Where do I live?")
    browser.picture("chat_service")

    browser.wait(lambda: browser.texts("[aria-current=true] small") == ["6 messages"], "listed")
    browser.one("#threads li:first-child .delete").click()
    browser.driver.switch_to.alert.accept()
    browser.wait(lambda: count(browser) == 1, "one is left")
    browser.wait(lambda: browser.messages() == [], "the deleted one is no longer shown")
    browser.driver.refresh()
    browser.wait(lambda: count(browser) == 1, "it stays gone")


def count(browser):
    return len(browser.texts("#threads li"))


def test_a_reply_that_is_stopped_is_kept_as_far_as_it_came(browser, redis_node, tmp_path):
    """And is marked, now and after a reload."""
    url = f"redis://127.0.0.1:{redis_node.port}/0"
    service = ChatService(tmp_path, "--url", url, "--delay", "0.5")
    try:
        browser.open(service)
        browser.wait_for_state("memory")
        browser.one("#prompt").send_keys("Hello.", Keys.ENTER)
        browser.wait(lambda: browser.messages()[1:] not in ([], [""]), "the reply has begun")
        browser.one("#stop").click()
        browser.wait(lambda: browser.texts("#log .note") == ["stopped"], "it is marked")
        browser.wait(lambda: count(browser) == 1, "it is listed")
        browser.driver.refresh()
        browser.wait(lambda: browser.texts("#log .note") == ["stopped"], "it is still marked")
        assert browser.messages()[0] == "Hello."
        assert HELP.startswith(browser.messages()[1])
    finally:
        service.stop()


def test_the_page_fits_a_phone(other_browser, service):
    """Nothing is wider than the screen, and the list of conversations unfolds."""
    browser = other_browser
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    browser.open(service)
    browser.wait_for_state("memory")
    browser.say("My name is Alice. " + "x" * 200)
    width = "return document.documentElement.scrollWidth"
    assert browser.driver.execute_script(width) <= 360
    assert not browser.one("#side").is_displayed()
    assert browser.one("#user").rect["width"] > 120
    browser.picture("phone")
    browser.one("#menu").click()
    assert browser.one("#new").is_displayed()
    assert browser.one("#menu").get_attribute("aria-expanded") == "true"
    browser.picture("phone_conversations")


def test_every_control_has_a_name(browser, service):
    """As a screen reader tells it."""
    browser.open(service)
    browser.wait_for_state("memory")
    browser.say("Hello")
    browser.wait(lambda: count(browser) == 1, "the conversation is listed")
    for control in browser.driver.find_elements(By.CSS_SELECTOR, "button, input, textarea, [role]"):
        if control.is_displayed() and control.aria_role != "status":
            assert control.accessible_name, control.get_attribute("outerHTML")
