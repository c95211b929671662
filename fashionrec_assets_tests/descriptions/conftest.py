"""A language model's server and the environment that points to it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from fashionrec_assets_tests.descriptions.server import KEY, LanguageModelServer, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Generator[LanguageModelServer]:
    with serving() as (state, url):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield state
