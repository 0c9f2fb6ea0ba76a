//! The model of a server's limits against the script on a real server, answer by answer: random quotas, requests and pauses.

use std::time::Duration;

use redis::Script;
use tower_rampart_core::{Timestamp, retry::Seeds};
use tower_rampart_redis::model;

use crate::server::Server;

/// Limits at a time; after so many rounds others begin, so that not all of them are deep in debt.
const LIMITS: usize = 3;
const ROUNDS: u32 = 60;

/// Quotas in the script's units: 100 a second with a burst of 20, 3 in a day, one and a half million a second, and one that rounds.
const QUOTAS: [[u64; 3]; 4] = [[1024, 10_240_000, 20], [1, 28_800_000_000, 7], [1 << 20, 699_051, 100_000], [4, 11, 1]];

#[tokio::test]
async fn model_answers_what_the_script_does() {
    let server = Server::start();
    let script = Script::new(include_str!("../../src/rate.lua"));
    let client = redis::Client::open(server.url()).expect("it is an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
    let model = model::Server::new(|| Timestamp::ZERO);
    let seeds = Seeds::new(11);
    let below = |most: u64| seeds.next() % most;
    let mut seen = [[0_u64; 3]; LIMITS];
    let (mut granted, mut refused, mut late) = (0, 0, 0);
    for round in 0..4000_u32 {
        if round % ROUNDS == 0 {
            seen = [[0; 3]; LIMITS];
        }
        let place = below(LIMITS as u64) as usize;
        let key = format!("rampart:{{{place}}}:{}", round / ROUNDS);
        // A quota changes now and then, so that debts are carried over.
        let quota = if below(10) == 0 { below(4) as usize } else { place };
        let [scale, interval, burst] = QUOTAS[quota];
        let some = |seeds: u64| if below(3) == 0 { seeds } else { 0 };
        let owed = if below(6) == 0 { below(burst + 1) } else { 0 };
        let wanted = below(burst / 2 + 2);
        let least = some(below(wanted + 1));
        let (returned, held) = (some(below(burst + 1)), below(50_000));
        let [at, debt, under] = seen[place];
        // What was seen under another quota is never told; sometimes it lies ahead of what is stored, as after lost writes.
        let ahead = if below(50) == 0 { 20_000 } else { 0 };
        let (seen_at, seen_debt) =
            if at > 0 && under == quota as u64 { (at + ahead, debt + ahead * interval) } else { (0, 0) };
        let until = if below(20) == 0 && at > 0 { at } else { 1 << 53 };
        let arguments = [scale, interval, burst, owed, wanted, least, returned, held, seen_at, seen_debt, until];
        let real: Vec<i64> =
            script.key(&key).arg(&arguments[..]).invoke_async(&mut connection).await.expect("it is a script");
        let now = u64::try_from(real[3]).expect("a time");
        let answer = model.rate(&key, &arguments, now);
        assert_eq!(real, answer, "round {round}: {arguments:?}");
        match answer[0] {
            -1 => late += 1,
            0 => refused += 1,
            _ => granted += 1,
        }
        if answer[0] >= 0 {
            seen[place] = [now, u64::try_from(answer[4]).expect("a debt"), quota as u64];
        }
        if below(20) == 0 {
            tokio::time::sleep(Duration::from_micros(below(8000))).await;
        }
    }
    assert!(granted > 200 && refused > 200 && late > 50, "{granted} granted, {refused} refused, {late} late");
    assert_eq!(model.requests(), 4000);
}
