"""Notices: told once, again after hours, resolved once; across restarts; delivered over HTTP."""

import http.server
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from real_servers import CLOCK

from drplatform.alerts import log, webhook
from drplatform.engine.alerting import AGAIN, FIRING, RESOLVED, STILL, Alerting
from drplatform.model import errors
from drplatform.model.monitoring import CRITICAL, Alert
from drplatform.model.secret import Secret

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DOWN = Alert("CaptureDown", "redis", CRITICAL, "The log of redis is not captured.")
OLD = Alert("RecoveryPointTooOld", "redis", CRITICAL, "A loss now would cost 400 s.")


class Kept:
    def __init__(self):
        self.told, self.broken = [], False

    def send(self, notice):
        if self.broken:
            raise errors.StoreError("nobody answers")
        self.told.append((notice.name, notice.state))


def test_an_alert_is_told_once_again_after_hours_and_once_when_it_is_over(tmp_path):
    kept, minute = Kept(), timedelta(minutes=1)
    alerting = Alerting([kept], tmp_path / "alerts.json", print)
    alerting.update([DOWN], NOW)
    alerting.update([DOWN], NOW + minute)
    alerting = Alerting([kept], tmp_path / "alerts.json", print)  # a restart forgets nothing
    alerting.update([DOWN, OLD], NOW + 2 * minute)
    assert kept.told == [("CaptureDown", FIRING), ("RecoveryPointTooOld", FIRING)]
    alerting.update([DOWN, OLD], NOW + AGAIN)
    assert kept.told[2:] == [("CaptureDown", STILL)]
    alerting.update([OLD], NOW + AGAIN + minute)
    alerting.update([OLD], NOW + AGAIN + 2 * minute)
    assert kept.told[3:] == [("CaptureDown", RESOLVED), ("RecoveryPointTooOld", STILL)]
    assert [a.name for a in alerting.firing] == ["RecoveryPointTooOld"]


def test_what_could_not_be_delivered_is_said_and_tried_again(tmp_path):
    kept, failed = Kept(), []
    kept.broken = True
    alerting = Alerting([kept], tmp_path / "alerts.json", failed.append)
    alerting.update([DOWN], NOW)
    assert failed == ["nobody answers"] and alerting.firing == ()
    kept.broken = False
    alerting.update([DOWN], NOW)
    kept.broken = True
    alerting.update([], NOW)
    kept.broken = False
    alerting.update([], NOW)
    assert kept.told == [("CaptureDown", FIRING), ("CaptureDown", RESOLVED)]


@pytest.fixture
def receiver():
    """A web server that answers with the statuses given, and keeps what it was sent."""

    class Pages(http.server.BaseHTTPRequestHandler):
        statuses, got = [], []

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.got.append((body, self.headers.get("Authorization")))
            self.send_response(self.statuses.pop(0) if self.statuses else 200)
            self.end_headers()

        def log_message(self, *args):
            pass

    Pages.statuses, Pages.got = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Pages.url = f"http://127.0.0.1:{server.server_address[1]}/hook/very-secret-path"
    yield Pages
    server.shutdown()
    thread.join()
    server.server_close()


def notice(state=FIRING):
    from drplatform.model.ports import Notice

    return Notice("CaptureDown", "redis", CRITICAL, "The log is not captured.", state, NOW, NOW)


def test_a_webhook_gets_the_notice_and_a_passing_error_is_tried_again(receiver):
    way = webhook.connect({}, {"url": Secret(receiver.url), "token": Secret("t0ken")}, CLOCK)
    receiver.statuses += [503]
    way.send(notice())
    assert len(receiver.got) == 2
    body, authorization = receiver.got[-1]
    assert body["alert"] == "CaptureDown" and body["state"] == FIRING and authorization == "Bearer t0ken"


def test_a_webhook_that_refuses_is_said_without_its_url(receiver):
    way = webhook.connect({}, {"url": Secret(receiver.url)}, CLOCK)
    receiver.statuses += [403]
    with pytest.raises(errors.StoreError, match="HTTP 403") as told:
        way.send(notice())
    assert "very-secret-path" not in str(told.value) and len(receiver.got) == 1


def test_a_url_that_is_none_is_refused_without_showing_it():
    with pytest.raises(errors.SettingsError, match="no http or https") as told:
        webhook.connect({}, {"url": Secret("file:///etc/very-secret")}, CLOCK)
    assert "very-secret" not in str(told.value)


def test_the_log_is_one_document_a_line(tmp_path):
    way = log.connect({"file": str(tmp_path / "alerts.log")}, {}, CLOCK)
    way.send(notice())
    way.send(notice(RESOLVED))
    lines = [json.loads(line) for line in (tmp_path / "alerts.log").read_text().splitlines()]
    assert [line["state"] for line in lines] == [FIRING, RESOLVED] and lines[0]["since"] == NOW.isoformat()
