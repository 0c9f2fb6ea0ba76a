//! The environments of `vectors/environment.json`, and what detection says beyond them.
#![expect(clippy::float_cmp, reason = "confidences are rounded to four digits")]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use tower_rampart_config::{
    Preset, PresetDefinition, Presets, Recommendation, Surroundings, recommend_auto, recommend_named,
};

fn vectors() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../../shared/vectors/environment.json"))
        .or_else(|_| fs::read_to_string(root.join("../../vectors/environment.json")))
        .expect("the vectors lie at the root of the workspace");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn auto(vars: &[(&str, &str)], files: &[&str]) -> Recommendation {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    recommend_auto(&Surroundings::new(vars, |file| files.contains(&file)))
}

#[test]
fn every_vector_is_recommended_as_it_says() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 68);
    let mut wrong = Vec::new();
    for vector in &vectors {
        let found = if let Some(name) = vector["environment"].as_str() {
            recommend_named(name)
        } else {
            let vars: BTreeMap<String, String> = serde_json::from_value(vector["env"].clone()).unwrap();
            let files: Vec<String> =
                vector.get("files_in_cwd").map_or_else(Vec::new, |it| serde_json::from_value(it.clone()).unwrap());
            recommend_auto(&Surroundings::new(vars, |file| files.iter().any(|it| it == file)))
        };
        let json = serde_json::to_value(&found).unwrap();
        let expected = [
            (&json["recommended_preset"], &vector["preset"]),
            (&json["environment_detected"], &vector["environment_detected"]),
            (&json["confidence"], &vector["confidence"]),
        ];
        if expected.iter().any(|(is, should)| is != should) {
            wrong.push(format!("{vector}\n  is {json}"));
        }
        assert_eq!(found.auto_detected, vector["environment"].is_null());
        assert!(!found.reasoning.is_empty());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_that_only_hold_a_known_one_match_nothing() {
    for name in ["delivery", "domain", "device", "maintenance", "alive", "mastery", "contest", "backstage", "products"]
    {
        assert_eq!(
            (recommend_named(name).recommended_preset.as_str(), recommend_named(name).confidence),
            ("simple", 0.4)
        );
        assert_eq!(auto(&[("HOSTNAME", name)], &[]).environment_detected, "unknown (auto-detected)", "{name}");
    }
}

#[test]
fn what_comes_before_production_is_staging() {
    for name in ["pre-prod", "pre_prod", "pre prod", "preprod", "eu-pre-prod-1", "preproduction", "pre-production"] {
        assert_eq!(
            (recommend_named(name).recommended_preset.as_str(), recommend_named(name).confidence),
            ("production", 0.7)
        );
        assert_eq!(auto(&[("HOSTNAME", name)], &[]).environment_detected, "staging (auto-detected)", "{name}");
    }
}

#[test]
fn agreement_adds_up_to_a_cap_and_contradiction_takes_away() {
    let all: Vec<(&str, &str)> =
        ["ENVIRONMENT", "NODE_ENV", "APP_ENV", "ENV", "RAILS_ENV"].iter().map(|it| (*it, "production")).collect();
    assert_eq!(auto(&all, &[]).confidence, 0.98);
    let doubted = auto(&[&all[..], &[("FLASK_ENV", "dev")]].concat(), &[]);
    assert_eq!(doubted.confidence, 0.833, "0.98 times 0.85");
    assert!(doubted.reasoning.contains("ENVIRONMENT=production") && doubted.reasoning.contains("FLASK_ENV=dev"));
    assert_eq!(auto(&[("NODE_ENV", "test"), ("APP_ENV", "dev")], &[]).environment_detected, "testing (auto-detected)");
    assert_eq!(auto(&[("DEBUG", "true")], &[".git"]).confidence, 0.75);
}

#[test]
fn registered_presets_are_listed_and_the_recommendation_has_the_fields_of_the_program() {
    let mut presets = Presets::builtin();
    presets.register(PresetDefinition { name: "batch".to_owned(), ..Preset::Simple.definition() }).unwrap();
    let json = serde_json::to_value(presets.recommend_named("prod")).unwrap();
    assert_eq!(json["available_presets"], serde_json::json!(["simple", "development", "production", "batch"]));
    let mut fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["auto_detected", "available_presets", "confidence", "environment_detected", "reasoning", "recommended_preset"]
    );
    assert_eq!(presets.recommend_auto(&Surroundings::new([], |_| false)).available_presets.len(), 4);
}
