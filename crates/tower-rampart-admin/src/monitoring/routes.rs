//! Rows 33 to 41: usage, trends, performance, alerts, sessions, exports, and the events as they happen.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::response::{
    IntoResponse as _,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::StreamExt as _;
use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Alert, AlertStatus, AlertsAnswer, AlertsQuery, CausedBy, CleanupAnswer, ExportAnswer, ExportFormat, Level, Message,
    MonitoringEvent, PerformanceAnswer, Refused, SessionAnswer, TrendsAnswer, UsageAnswer,
};
use crate::{
    api::Api,
    parameter::{Kind, Parameter},
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

/// What a client that comes back saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The session that a request belongs to, by whatever name its client gave it.
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// How often a client that hears nothing else hears that nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const ANY_HOURS: Kind = Kind::Integer { min: 1, max: 168 };
const WINDOW: Parameter = Parameter::query("time_window_hours", ANY_HOURS, "How far back, in hours.");
const HOURS: Parameter = Parameter::query("hours", ANY_HOURS, "How far back, in hours.").default(24);
const MAX_ALERTS: Parameter =
    Parameter::query("max_alerts", Kind::Integer { min: 1, max: 1000 }, "The most alerts that are listed.").default(50);

const OF_EVENTS: &[Parameter] = &[
    Parameter::query(
        "latest",
        Kind::Integer { min: 0, max: 1000 },
        "How many of the latest events come first, where no event was seen last; refused calls do not count, and at most as many come too.",
    )
    .default(0),
    Parameter::header("Last-Event-ID", "The event that was seen last: those after it come first."),
];

pub(crate) fn routes() -> Vec<Route> {
    let get = Method::GET;
    vec![
        Route::new(
            get.clone(),
            "/monitoring/usage-statistics",
            ("monitoring_usage_statistics", "usage_statistics_retrieval"),
            "How the configuration is used: loads, presets, failures.",
            usage,
        )
        .parameters(const { &[WINDOW.default(24)] }),
        Route::new(
            get.clone(),
            "/monitoring/preset-trends/{preset}",
            ("monitoring_preset_trends", "preset_trends_retrieval"),
            "How often a preset was used, hour by hour of the calendar.",
            trends,
        )
        .parameters(const { &[Parameter::path("preset", "The preset."), HOURS] })
        .refusals(&[422]),
        Route::new(
            get.clone(),
            "/monitoring/performance-metrics",
            ("monitoring_performance_metrics", "performance_metrics_retrieval"),
            "How fast configurations load.",
            performance,
        )
        .parameters(const { &[HOURS] }),
        Route::new(
            get.clone(),
            "/monitoring/alerts",
            ("monitoring_alerts", "alert_listing"),
            "What is wrong, or was until lately.",
            alerts,
        )
        .parameters(
            const {
                &[
                    MAX_ALERTS,
                    Parameter::query("level", Kind::Word(Level::NAMES), "Of this level alone."),
                    Parameter::query("status", Kind::Word(AlertStatus::NAMES), "Whether the condition still holds."),
                    Parameter::query("hours", ANY_HOURS, "Resolved ones only if they were found so lately."),
                ]
            },
        ),
        Route::new(
            get.clone(),
            "/monitoring/session/{id}",
            ("monitoring_session", "session_retrieval"),
            "What one session did, by the header `X-Session-Id` of its requests; nothing if there is none of this name.",
            session,
        )
        .parameters(const { &[Parameter::path("id", "The session.")] }),
        Route::new(
            get.clone(),
            "/monitoring/export",
            ("monitoring_export", "export_creation"),
            "All that is kept, as text: a list of events, CSV, or a trace for `rampart simulate`.",
            export,
        )
        .parameters(
            const {
                &[
                    Parameter::query("format", Kind::Word(ExportFormat::NAMES), "The form; json if not given."),
                    WINDOW,
                    Parameter::query("operation", Kind::Text { max: Parameter::LONGEST_NAME }, "Of this operation alone."),
                    Parameter::flag("raw", "Whether the text itself is answered, and nothing around it."),
                ]
            },
        )
        .texts(const { &[ExportFormat::Csv.media_type(), ExportFormat::Trace.media_type()] }),
        Route::new(
            Method::POST,
            "/monitoring/cleanup",
            ("monitoring_cleanup", "event_removal"),
            "Forgets what is older; active alerts stay.",
            cleanup,
        )
        .parameters(const { &[HOURS] }),
        Route::new(
            Method::POST,
            "/monitoring/alerts/{id}/acknowledge",
            ("acknowledge_alert", "alert_acknowledgement"),
            "Marks an alert as seen.",
            acknowledge,
        )
        .parameters(const { &[Parameter::path("id", "Its number.")] })
        .refusals(&[422]),
        Route::new(
            get,
            "/monitoring/events",
            ("monitoring_events", "event_stream"),
            "What happens, as server-sent events: transition, rejected (at most one a second and operation), reloaded, reload_refused, \
             counters_reset, alert; and lagged, with how many were missed.",
            events,
        )
        .parameters(OF_EVENTS)
        .only_texts(&["text/event-stream"]),
    ]
}

impl From<Refused> for Refusal {
    fn from(it: Refused) -> Self {
        let error = it.to_string();
        match it {
            Refused::Invalid { .. } => Self::validation(error.as_str()).with("validation_errors", vec![error]),
            Refused::Unknown { what, name, available } => {
                Self::business(format!("There is no {what} '{}'", shown(&name)))
                    .with(&format!("{what}_name"), shown(&name))
                    .with(&format!("available_{what}s"), available.iter().map(|it| shown(it)).collect::<Vec<_>>())
            }
            Refused::Busy { running, retry_after } => {
                Self::conflict(error).with("running_benchmark", running).retry_after(retry_after)
            }
            Refused::TooManyClients { max } => Self::rate_limit(error, Duration::from_secs(5)).with("max_clients", max),
        }
    }
}

/// Who makes a request, and in which session.
pub(crate) fn caused_by(asked: &Asked) -> CausedBy {
    CausedBy::new(asked.header(&SESSION_ID), Some(&asked.caller.name))
}

/// A number that was checked against its range, or the default of its parameter.
fn hours(asked: &Asked, name: &str) -> Option<u32> {
    asked.given.integer(name).and_then(|it| u32::try_from(it).ok())
}

fn usage(api: &Api, asked: &Asked) -> Reply<UsageAnswer> {
    api.monitor().usage(hours(asked, "time_window_hours").unwrap_or(24)).into()
}

fn trends(api: &Api, asked: &Asked) -> Result<Reply<TrendsAnswer>, Refusal> {
    let presets = api.resilience().presets();
    let names: Vec<&str> = presets.names().collect();
    let answer = api.monitor().trends(asked.given.path("preset"), hours(asked, "hours").unwrap_or(24), &names)?;
    Ok(answer.into())
}

fn performance(api: &Api, asked: &Asked) -> Reply<PerformanceAnswer> {
    api.monitor().performance(hours(asked, "hours").unwrap_or(24)).into()
}

fn alerts(api: &Api, asked: &Asked) -> Reply<AlertsAnswer> {
    let given = &asked.given;
    let all = AlertsQuery::default();
    let query = AlertsQuery {
        max_alerts: hours(asked, "max_alerts").unwrap_or(all.max_alerts),
        level: given.text("level").and_then(Level::named),
        status: given.text("status").and_then(AlertStatus::named).unwrap_or(all.status),
        hours: hours(asked, "hours"),
    };
    api.monitor().alerts(&query).into()
}

fn session(api: &Api, asked: &Asked) -> Reply<SessionAnswer> {
    api.monitor().session(asked.given.path("id")).into()
}

/// An export with what there is to say about it, or alone.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Export {
    Told(ExportAnswer),
    Raw(Vec<MonitoringEvent>),
}

fn export(api: &Api, asked: &Asked) -> Reply<Export> {
    let given = &asked.given;
    let format = given.text("format").and_then(ExportFormat::named).unwrap_or_default();
    let (hours, operation) = (hours(asked, "time_window_hours"), given.text("operation"));
    let monitor = api.monitor();
    match (given.flag("raw"), format) {
        (false, _) => Reply::from(Export::Told(monitor.export(format, hours, operation))),
        (true, ExportFormat::Json) => Reply::from(Export::Raw(monitor.events(hours, operation))),
        (true, _) => Reply::text(format.media_type(), monitor.export(format, hours, operation).data),
    }
}

fn cleanup(api: &Api, asked: &Asked) -> Reply<CleanupAnswer> {
    let hours = hours(asked, "hours").unwrap_or(24);
    let answer = api.monitor().cleanup(hours);
    let (metrics, alerts) = (answer.metrics_removed, answer.alerts_removed);
    let detail = format!("{metrics} events and {alerts} alerts older than {hours} h");
    api.resilience().note("cleanup_monitoring", &detail, &asked.caller.change_by());
    answer.into()
}

fn acknowledge(api: &Api, asked: &Asked) -> Result<Reply<Alert>, Refusal> {
    let alert = api.monitor().acknowledge(asked.given.path("id"), &asked.caller.name)?;
    let detail = format!("alert {}: {}", alert.id, shown(&alert.title));
    api.resilience().note("acknowledge_alert", &detail, &asked.caller.change_by());
    Ok(alert.into())
}

fn events(api: &Api, asked: &Asked) -> Result<Reply<()>, Refusal> {
    let latest = usize::try_from(asked.given.integer("latest").unwrap_or(0)).unwrap_or(0);
    let messages = api.monitor().followed(Some(&asked.caller.name), asked.header(&LAST_EVENT_ID), latest)?;
    // A stream outlives the request that was let in: whoever's key was taken away meanwhile hears nothing more.
    let (api, caller) = (api.clone(), asked.caller.clone());
    let messages = messages.take_while(move |_| ready(caller.is_known_to(&api.keys())));
    let events = messages.map(|Message { id, event, data }| {
        let told = Event::default().event(event).data(data);
        Ok::<_, Infallible>(if let Some(id) = id { told.id(id) } else { told })
    });
    let kept_alive = KeepAlive::new().interval(KEEP_ALIVE).text("nothing happened");
    let body = Sse::new(events).keep_alive(kept_alive).into_response().into_body();
    Ok(Reply::stream("text/event-stream", body))
}
