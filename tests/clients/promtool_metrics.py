"""What is scraped, read by programs that others wrote: promtool, and Prometheus's own parsers for Python. And what is written about it holds: the alert
rules, the Grafana dashboard and docs/monitoring.md name no metric, label or value that is not there."""

import json
import pathlib
import re
import tempfile
import urllib.error

import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as prometheus
from support import ROOT, Gateway, Model, Service, check, eventually, get, main, run

ALERTS = ROOT / "docs/prometheus/alerts.yml"
DASHBOARD = ROOT / "docs/grafana/rampart.json"
PAGE = ROOT / "docs/monitoring.md"
# What Prometheus adds to every sample.
TARGET = {"job", "instance"}

# A gateway for a model API, with every stage that has a metric.
DOCUMENT = {
    "classify": {"profile": "model_api"},
    "retry": {"max_attempts": 2, "backoff": {"base": "1ms", "min": "1ms", "max": "5ms"}, "jitter": {"kind": "none"}},
    "rate_limit": {"requests_per_second": 1000, "burst_size": 1000, "tokens_per_minute": 100_000},
    "concurrency": {"max_inflight": 10, "queue_size": 10, "adaptive": {"algorithm": "aimd", "min": 5, "max": 20}},
}
# Hedging cannot stand beside a limit of tokens.
HEDGED = {"classify": DOCUMENT["classify"], "retry": DOCUMENT["retry"], "hedge": {"delay": "1s"}}
# All calls are of a class that has no share, and most are beyond a limit that only counts.
GUARDED = {
    "cache": {},
    "throttle": {},
    "concurrency": {"max_inflight": 5},
    "priority": {"default": "sheddable", "shares": {"sheddable": 0}},
    "rate_limit": {"requests_per_minute": 1, "burst_size": 1, "on_limit": "wait"},
    "shadow": {"stages": ["rate_limit"]},
}
# State by key, under a limit that goes by a latency, and a fleet whose Redis is away.
KEYED = {
    "circuit_breaker": {"per_key": "header:x-tenant"},
    "rate_limit": {"requests_per_second": 1000, "per_key": "client_ip"},
    "concurrency": {"max_inflight": 10, "adaptive": {"algorithm": "vegas"}},
}
AWAY = ["--redis", "redis://127.0.0.1:1"]


def promtool(*arguments, **more):
    return run("promtool", *arguments, **more)


def busy_service(stack):
    service = Service(stack)
    scraped = lambda: json.loads(service.get("/metrics"))["operations"]
    eventually("calls end", lambda: all(it["attempts"] > 3 for name, it in scraped().items() if name in ("flaky", "..", "crowded")))
    return service


def keyed_gateway(stack):
    gateway = Gateway(stack, Model(stack).url, KEYED, *AWAY)
    body = json.dumps({"model": "fake-1", "messages": [{"role": "user", "content": "Count."}]}).encode()
    for call in range(100):
        headers = {"content-type": "application/json", "x-tenant": f"tenant-{call}"}
        get(f"{gateway.url}/v1/chat/completions", data=body, headers=headers)
    return gateway


def busy_gateway(stack, document=DOCUMENT):
    model = Model(stack, {"status": 429, "error_code": "rate_limit_exceeded"}, {}, {"status": 503})
    gateway = Gateway(stack, model.url, document)
    body = json.dumps({"model": "fake-1", "messages": [{"role": "user", "content": "Count."}]}).encode()
    for _ in range(5):
        try:
            get(f"{gateway.url}/v1/chat/completions", data=body, headers={"content-type": "application/json"})
        except urllib.error.HTTPError as refusal:
            assert document is GUARDED and refusal.code == 503, refusal
    return gateway


def texts(stack):
    """What is scraped of a service and of gateways, as text."""
    gateways = [*(busy_gateway(stack, document) for document in (DOCUMENT, HEDGED, GUARDED)), keyed_gateway(stack)]
    return [busy_service(stack).get("/metrics/prometheus").decode(), *(get(f"{it.admin}/metrics").decode() for it in gateways)]


def families(stack):
    """All that there is, by the name of the sample: the family, the labels, and the values of each label."""
    found = {}
    for text in texts(stack):
        for family in prometheus.text_string_to_metric_families(text):
            # The parser takes `_total` off the names of counters.
            name = f"{family.name}_total" if family.type == "counter" else family.name
            entry = found.setdefault(name, {"type": family.type, "help": family.documentation, "samples": {}})
            for sample in family.samples:
                labels = entry["samples"].setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


@check
def promtool_accepts_what_is_scraped_and_has_nothing_to_improve(stack):
    for text in texts(stack):
        assert text.count("\n") > 100 and "rampart_calls_total{" in text, text
        said = promtool("check", "metrics", input=text)
        assert said == "", said


@check
def hostile_names_come_back_as_they_are_through_both_formats(stack):
    service = busy_service(stack)
    known = set(json.loads(service.get("/metrics"))["operations"])
    assert {"..", "line\nfeed\r\ttab", '=cmd|\' /C calc\'!A0', "\x1b[31mred\x07"} <= known, known
    text = service.get("/metrics", accept="application/openmetrics-text").decode()
    assert text.endswith("# EOF\n")
    by_format = {
        "prometheus": prometheus.text_string_to_metric_families(service.get("/metrics/prometheus").decode()),
        "openmetrics": openmetrics.text_string_to_metric_families(text),
    }
    kinds = {}
    for name, parsed in by_format.items():
        all_of_them = list(parsed)
        kinds[name] = {family.name: family.type for family in all_of_them}
        calls = [it for family in all_of_them if family.name == "rampart_calls" for it in family.samples]
        assert {it.labels["operation"] for it in calls} == known, name
        assert {it.labels["outcome"] for it in calls} == {"success", "failure", "ignored", "abandoned"}, name
        flaky = {it.labels["outcome"]: it.value for it in calls if it.labels["operation"] == "flaky"}
        assert flaky["success"] > 0, flaky
    assert kinds["prometheus"] == kinds["openmetrics"], kinds


@check
def alert_rules_are_rules_and_fire_when_they_should_and_only_then(stack):
    assert re.search(r"SUCCESS: \d+ rules found", promtool("check", "rules", ALERTS))
    assert "SUCCESS" in promtool("test", "rules", ALERTS.with_suffix(".test.yml"))
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text())
    tested = set(re.findall(r"alertname: (\w+)", ALERTS.with_suffix(".test.yml").read_text()))
    assert len(alerts) == len(set(alerts)) > 10 and tested == set(alerts), tested ^ set(alerts)
    for name in alerts:
        assert f"\n### {name}\n" in PAGE.read_text(), f"{PAGE.name} does not say what to do about {name}"
        assert f"runbook: docs/monitoring.md#{name.lower()}\n" in ALERTS.read_text(), name


def dashboard_expressions():
    """Those of all panels and annotations, as Prometheus gets them."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [it["expr"] for panel in dashboard["panels"] for it in panel.get("targets", [])]
    found += [it["expr"] for it in dashboard["annotations"]["list"]]
    for variable in dashboard["templating"]["list"]:
        # `label_values(METRIC, LABEL)` is Grafana's own; the metric is not.
        if inner := re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", "")):
            found.append(f"count by ({inner[2]}) ({inner[1]})")
    fixed = {"$__rate_interval": "5m", "$operation": ".*", "$job": ".*"}
    for name, value in fixed.items():
        found = [it.replace(name, value) for it in found]
    assert len(found) > 20 and not any("$" in it for it in found), found
    return found


def rule_expressions():
    """Those of the alert rules: on their line, or in the lines that are further in."""
    text = ALERTS.read_text()
    found = re.findall(r"^        expr: (?!\|)(.*)$", text, re.M)
    found += [it.replace("\n", " ") for it in re.findall(r"^        expr: \|\n((?:          .*\n)+)", text, re.M)]
    assert len(found) == text.count("alert: "), found
    return found


@check
def every_expression_of_the_dashboard_is_one(stack):
    dashboard = json.loads(DASHBOARD.read_text())
    assert [it["name"] for it in dashboard["templating"]["list"]] == ["datasource", "job", "operation"]
    assert all(it["datasource"]["uid"] == "${datasource}" for it in dashboard["panels"] if it["type"] != "row")
    numbers = [it["id"] for it in dashboard["panels"]]
    assert len(numbers) == len(set(numbers)), numbers
    rules = [{"record": f"panel:{number}", "expr": it} for number, it in enumerate(dashboard_expressions())]
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    # JSON is YAML.
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", folder / "rules.yml")


def rot(expression, samples):
    """What an expression names and the samples do not have."""
    named = re.findall(r"\b(rampart_\w+)(?:\{([^}]*)\})?", expression)
    assert named, f"{expression} names no metric"
    lacks = []
    for name, matchers in named:
        if name not in samples:
            lacks.append(name)
            continue
        for label, operator, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            known = samples[name].get(label)
            if label in TARGET or label == "operation" and known:
                continue
            lacks += [f"{name}{{{label}={it}}}" for it in text.split("|") if known is None or it not in known]
    every = TARGET.union(*(samples.get(name, {}) for name, _ in named))
    for labels in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        lacks += [f"label {it}" for it in re.split(r"\s*,\s*", labels) if it and it not in every]
    return lacks


@check
def rules_and_dashboard_name_nothing_that_is_not_scraped(stack):
    samples = {name: labels for family in families(stack).values() for name, labels in family["samples"].items()}
    for invented in ("rampart_nothing", 'rampart_calls_total{outcome="won"}', "sum by (planet) (rampart_inflight)"):
        assert rot(invented, samples), f"{invented} was not found out"
    for expression in dashboard_expressions() + rule_expressions():
        lacks = rot(expression, samples)
        assert not lacks, f"{lacks} in {expression}"


@check
def page_lists_every_metric_as_it_is(stack):
    rows = re.findall(r"^\| `(rampart_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \| (.*) \|$", PAGE.read_text(), re.M)
    page = {name: (kind, labels.strip(), meaning) for name, kind, _, labels, meaning in rows}
    assert len(page) == len(rows), "a metric stands twice"
    there = {}
    for name, family in families(stack).items():
        labels = set().union(*family["samples"].values()) - {"le"}
        there[name] = (family["type"], ", ".join(f"`{it}`" for it in sorted(labels, key=lambda it: (it != "operation", it))), family["help"])
    assert page.keys() == there.keys(), page.keys() ^ there.keys()
    for name, (kind, labels, said) in there.items():
        # What other processes of a fleet tell has no sample while there are none.
        labels = labels or page[name][1] if name == "rampart_redis_circuit_nodes" else labels
        assert page[name][:2] == (kind, labels), f"{name}: {page[name][:2]} is {(kind, labels)}"
        assert page[name][2].startswith(said), f"{name}: the page says {page[name][2]!r}, and the metric {said!r}"
    for name, _, unit, _, _ in rows:
        assert (unit.strip() == "seconds") == ("_seconds" in name), f"{name} in {unit}"


main("promtool")
