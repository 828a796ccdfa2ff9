"""The page in a real browser: a real install is seen on it, and everybody can use it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.e2e.clients import Pip, Server, serving
from tests.faults import throttled
from tests.flows.asking import get
from tests.origin import Origin
from tests.storage.disk import locked
from tests.wheels import wheel

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, ViewportSize

pytestmark = pytest.mark.e2e

_PADDING = 8_000_000  # bytes
_RATE = 2_000_000  # bytes a second: the install takes long enough to be looked at
_PICTURES = "PULLTHROUGH_PICTURES"  # a folder: screenshots for the documentation go there
_WIDE: ViewportSize = {"width": 1100, "height": 900}
_PHONE: ViewportSize = {"width": 390, "height": 844}


@contextlib.asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None and not os.environ.get("CI"):
        pytest.skip("there is no chromium: apt-get install chromium")
    assert program is not None, "CI has to look at the pages: apt-get install chromium"
    from playwright.async_api import async_playwright  # noqa: PLC0415 - late: of the group e2e

    async with async_playwright() as playwright:
        # The sandbox needs another user than root, and these pages are our own.
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
def cache(origin: Origin, tmp_path: Path, home: Path) -> Iterator[Server]:
    """The program in front of a local index that sends slowly, by one connection."""
    origin.publish(wheel("demo", "1.0", padding=_PADDING), fmt="json")
    origin.misbehave("/packages/demo-1.0-py3-none-any.whl", throttled(_RATE))
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[fetch]\nconnections = 1\n[[upstream]]\nmount = "pypi"\nurl = "{origin.url}/"\nindex = "simple/"\n',
        encoding="utf-8",
    )
    with serving(tmp_path / "data", home, settings) as server:
        yield server


async def _large(page: Page, name: str) -> str:
    """One of the large figures, by its name."""
    text: str = await page.locator(f"dl.large div:has(dt:text-is('{name}')) dd").inner_text()
    return text.strip()


async def _picture(page: Page, name: str) -> None:
    if folder := os.environ.get(_PICTURES):
        await page.screenshot(path=Path(folder) / name, full_page=True)


async def test_page__a_real_install_is_seen(cache: Server, newest_pip: Pip, tmp_path: Path) -> None:
    """While pip installs, the page shows the file, its progress moves; afterwards the totals have changed."""
    errors: list[str] = []
    index = f"{cache.url}/pypi/simple/"
    async with _browser() as browser:
        page = await browser.new_page(viewport=_WIDE)
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(cache.url)
        assert "0 B" == await _large(page, "Sent to clients")
        installing = asyncio.create_task(
            asyncio.to_thread(newest_pip.install, index, tmp_path / "first", "demo", flat=False)
        )
        progress = page.locator("progress")
        await progress.wait_for()
        assert "demo-1.0-py3-none-any.whl" == await progress.get_attribute("aria-label")
        first = await progress.get_attribute("value")
        await page.locator(f"progress:not([value='{first}'])").wait_for()
        await installing
        await page.get_by_text("Nothing is being downloaded.").wait_for()
        assert "8.0 MB" == await _large(page, "Sent to clients")
        await asyncio.to_thread(newest_pip.install, index, tmp_path / "second", "demo", flat=False)
        await page.locator("dl.since div:has(dt:text-is('Saved')) dd:text-is('8.0 MB')").wait_for()
        assert "50 %" == await _large(page, "Of what was sent")
        await _picture(page, "saved.png")

    assert [] == errors


_COUNTS_ALERTS = """() => {
  window.said = [];
  const look = new MutationObserver((changes) => {
    for (const change of changes) {
      const where = change.target.nodeType === Node.TEXT_NODE ? change.target.parentElement : change.target;
      for (const node of [where, ...change.addedNodes]) {
        const alert = node.closest?.("[role=alert]") ?? node.querySelector?.("[role=alert]");
        if (alert) window.said.push(alert.textContent);
      }
    }
  });
  look.observe(document.body, { childList: true, characterData: true, subtree: true });
}"""


async def test_page__trouble_is_said_once(cache: Server, tmp_path: Path) -> None:
    """While the disk fails the alert changes once, however often the page is made new; and once when that is over."""
    async with _browser() as browser, aiohttp.ClientSession() as http:
        page = await browser.new_page()
        await page.goto(cache.url)
        await page.evaluate(_COUNTS_ALERTS)
        alert, live = page.get_by_role("alert"), page.locator("#live")
        with locked(tmp_path / "data"):
            await get(http, f"{cache.url}/pypi/simple/demo/")
            await page.locator("#trouble:not(:empty)").wait_for()
            assert (await alert.inner_text()).startswith("Degraded: ")
            for path in ("simple/no-such-one/", "simple/nor-this/"):
                before = await live.inner_text()
                await get(http, f"{cache.url}/pypi/{path}")
                while before == await live.inner_text():  # it is made new when something happened
                    await asyncio.sleep(0.1)
        while "degraded" in (await get(http, f"{cache.url}/healthz")).body.decode():
            await asyncio.sleep(0.1)
        await page.locator("#trouble:empty").wait_for(state="attached")
        said = await page.evaluate("window.said")

    assert 2 == len(said), said
    assert said[0].startswith("Degraded: ")
    assert "" == said[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [_WIDE, _PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("address", ["/", "/?view=stored"], ids=["now", "stored"])
async def test_page__everybody_can_use_it(
    cache: Server, newest_pip: Pip, tmp_path: Path, scheme: str, size: ViewportSize, address: str
) -> None:
    """axe-core finds nothing, light and dark, wide and on a phone; nothing is wider than the screen."""
    async with _browser() as browser:
        page = await browser.new_page(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
        await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "target", "demo")
        await page.goto(f"{cache.url}{address}")
        from axe_playwright_python.async_playwright import Axe  # noqa: PLC0415 - late: of the group e2e

        found = await Axe().run(page)
        wider = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        kind = "phone" if size == _PHONE else scheme
        if not (scheme == "dark" and size == _PHONE):
            await _picture(page, f"{'stored' if 'view' in address else 'now'}-{kind}.png")

    assert 0 == found.violations_count, found.generate_report()
    assert wider <= 0


async def test_page__without_javascript(cache: Server, newest_pip: Pip, tmp_path: Path) -> None:
    """The facts are there, a file is found by its name, and the answers are filtered: by forms alone."""
    await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "target", "demo")
    async with _browser() as browser:
        page = await (await browser.new_context(java_script_enabled=False)).new_page()
        await page.goto(cache.url)
        assert "8.0 MB" == await _large(page, "Sent to clients")
        await page.get_by_label("Path contains").fill("simple/demo")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/?client=&project=&path=*")
        paths = await page.locator("section[aria-labelledby=answers] tbody td:last-child").all_inner_texts()
        await page.get_by_role("link", name="files").click()
        await page.get_by_label("Name, project, index or digest").fill("DEMO-1.0")
        await page.get_by_label("Order").select_option("requests")
        await page.get_by_role("button", name="Search").click()
        await page.wait_for_url("**&order=requests*")
        rows = await _names(page)

    assert paths
    assert all("/simple/demo" in path for path in paths), paths
    assert "demo-1.0-py3-none-any.whl" in rows


_TOKEN = "the-token-of-this-very-cache"


def _make_token(tmp_path: Path, token: str = _TOKEN) -> None:
    path = tmp_path / "data" / "admin-token"
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(f"{token}\n")


async def _names(page: Page) -> list[str]:
    found: list[str] = await page.locator("tbody th").all_inner_texts()
    return [name.strip() for name in found]


async def _press(page: Page, button: str, token: str) -> None:
    await page.get_by_label("Admin token").fill(token)
    async with page.expect_navigation():
        await page.get_by_role("button", name=button, exact=True).click()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_page__deleting_takes_the_token(cache: Server, newest_pip: Pip, tmp_path: Path, script: bool) -> None:
    """Without a token, with a wrong one and with an old one the file stays and why is said; with the token it goes."""
    wheel_name = "demo-1.0-py3-none-any.whl"
    await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "target", "demo")
    async with _browser() as browser:
        page = await (await browser.new_context(java_script_enabled=script)).new_page()
        await page.goto(f"{cache.url}/?view=stored&q=demo-1.0")
        await page.get_by_label(wheel_name, exact=True).check()
        await _press(page, "Delete", _TOKEN)
        assert "has no admin token" in await page.get_by_role("alert").inner_text()
        _make_token(tmp_path, "an-old-token-of-this-cache")
        _make_token(tmp_path)
        for token in ("", "wrong-token-of-this-cache", "an-old-token-of-this-cache"):
            await _press(page, "Delete", token)
            assert "admin token" in await page.get_by_role("alert").inner_text()
            assert wheel_name in await _names(page)
            assert await page.get_by_label(wheel_name, exact=True).is_checked()  # only the token is typed again

        await _press(page, "Delete", _TOKEN)

        assert "Deleted: 1 file, 8.0 MB." == await page.get_by_role("status").inner_text()
        assert wheel_name not in await _names(page)
        assert 0 == await page.get_by_role("alert").count()
        assert "q=demo-1.0" in page.url
    # It is fetched again by whoever asks next.
    await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "again", "demo")


async def test_page__pinned_by_the_keyboard(cache: Server, newest_pip: Pip, tmp_path: Path) -> None:
    """Enter in the field of the token harms nothing: it pins. A wheel whose digest is promised is not refreshed."""
    wheel_name = "demo-1.0-py3-none-any.whl"
    await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "target", "demo")
    _make_token(tmp_path)
    async with _browser() as browser:
        page = await browser.new_page()
        await page.goto(f"{cache.url}/?view=stored&q=demo-1.0&order=requests")
        box = page.get_by_label(wheel_name, exact=True)
        await box.focus()
        await page.keyboard.press("Space")
        field = page.get_by_label("Admin token")
        await field.fill(_TOKEN)
        async with page.expect_navigation():
            await field.press("Enter")
        assert (await page.get_by_role("status").inner_text()).startswith(
            "Pinned, so that they are never evicted: 1 file"
        )
        assert f"{wheel_name} pinned" in await _names(page)
        await box.check()
        await _press(page, "Refresh", _TOKEN)
        assert "1 file: cannot change" in await page.get_by_role("status").inner_text()
        await box.check()
        await _press(page, "Unpin", _TOKEN)
        assert wheel_name in await _names(page)


async def test_page__a_form_of_another_site(cache: Server, newest_pip: Pip, tmp_path: Path) -> None:
    """A page elsewhere that knew the token could still not use it from somebody's browser."""
    await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "target", "demo")
    _make_token(tmp_path)
    async with _browser() as browser:
        page = await browser.new_page()
        await page.goto(f"{cache.url}/?view=stored&q=demo-1.0")
        digest = await page.locator("input[type=checkbox]").first.get_attribute("value")
        await page.goto(
            f"data:text/html,<form method=post action='{cache.url}/?view=stored'><input name=token value={_TOKEN}>"
            f"<input name=file value={digest}><button name=do value=delete>Click</button></form>"
        )
        async with page.expect_navigation():
            await page.get_by_role("button").click()
        refused = await page.inner_text("body")
        await page.goto(f"{cache.url}/?view=stored&q={digest}")
        names = await _names(page)

    assert "A page of another site sent this." in refused
    assert 1 == len(names)
