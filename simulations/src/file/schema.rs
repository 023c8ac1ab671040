//! The table of keys as a JSON Schema.

use super::keys::{Form, Key, SECTIONS, Section};
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of scenario files, made of the same table
/// of keys that the parser reads by.
pub fn schema() -> Value {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Watchfire simulation scenario",
    });
    let Some(members) = root.as_object_mut() else {
        return root;
    };
    for section in &SECTIONS {
        let object = object_of(section);
        if section.name.is_empty() {
            members.extend(object);
            continue;
        }
        let value = if section.repeated {
            json!({ "type": "array", "items": object })
        } else {
            Value::Object(object)
        };
        if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(section.name.to_owned(), value);
        }
    }
    root
}

fn object_of(section: &Section) -> Map<String, Value> {
    let properties: Map<String, Value> = section
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("description".to_owned(), json!(section.what));
    object.insert("additionalProperties".to_owned(), json!(false));
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    object
}

fn property(key: &Key) -> Value {
    let mut value = form(key.form);
    if let Some(members) = value.as_object_mut() {
        members.insert("description".to_owned(), json!(key.what));
        // Examples are written so that they are TOML and JSON at once.
        if let Ok(example) = serde_json::from_str::<Value>(key.example) {
            members.insert("examples".to_owned(), json!([example]));
        }
    }
    value
}

fn form(form: Form) -> Value {
    let duration = json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" });
    let two = |item: Value| json!({ "type": "array", "items": item, "minItems": 2, "maxItems": 2 });
    match form {
        Form::Text => json!({ "type": "string", "pattern": "\\S" }),
        Form::Count(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Form::Counts(high) => two(json!({ "type": "integer", "minimum": 0, "maximum": high })),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Duration => duration,
        Form::Durations => two(duration),
        Form::Share => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,4})?%$" }),
        Form::Seeds => json!({
            "type": "array",
            "minItems": 1,
            "items": { "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+(\\.\\.[0-9]+)?$" },
            ] },
        }),
        Form::Hosts => json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } }),
        Form::Topology | Form::Habit => json!({ "enum": form.words() }),
    }
}
