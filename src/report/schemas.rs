//! The schemas of the documents, made from their types: JSON Schema of 2020-12, in `schemas/`.
//!
//! `RINGFENCE_BLESS=1` writes what came out instead of comparing. Whatever changes then that is not only added is another version.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::*;
use crate::host::agreed::{Plan, SCHEMA};

/// Nothing but what is named stands in a document.
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(object) = schema.as_object_mut() {
            // A reader that needs to know how wide a number is knows it from its least and greatest.
            object.remove("format");
            if object.contains_key("properties") {
                object.remove("unevaluatedProperties");
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        transform_subschemas(self, schema);
    }
}

fn made<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// Either there are errors, or all is there that a body always has.
fn schema<T: JsonSchema>(form: Form) -> Value {
    let always = made::<T>().get("required").cloned().unwrap_or_else(|| json!([]));
    let mut schema = made::<Document<T>>();
    Strict.transform(&mut schema);
    let mut schema = Value::from(schema);
    schema["title"] = form.schema().into();
    schema["properties"]["schema"] =
        json!({"description": "Which form this is, and its version.", "const": form.schema()});
    schema["anyOf"] = json!([{"properties": {"errors": {"minItems": 1}}}, {"required": always}]);
    schema
}

fn of(form: Form) -> Value {
    match form {
        Form::Apply => schema::<Apply>(form),
        Form::Confirm => schema::<Confirmation>(form),
        Form::Diff => schema::<Planned>(form),
        Form::DiffFiles => schema::<Changes>(form),
        Form::DiffMembership => schema::<MembershipOrder>(form),
        Form::Explain => schema::<Explanation>(form),
        Form::Import => schema::<Imported>(form),
        Form::Lint => schema::<Linted>(form),
        Form::Rehearse => schema::<Rehearsed>(form),
        Form::Remove => schema::<Removal>(form),
        Form::Report => schema::<Review>(form),
        Form::Rollback => schema::<Rollback>(form),
        Form::Status => schema::<Status>(form),
        Form::Verify => schema::<Proof>(form),
        Form::VerifyHost => schema::<Whole>(form),
    }
}

/// A plan is a file, and has no head.
fn of_plans() -> Value {
    let mut schema = made::<Plan>();
    Strict.transform(&mut schema);
    let mut schema = Value::from(schema);
    schema["title"] = SCHEMA.into();
    schema["properties"]["schema"] = json!({"description": "Which form this is, and its version.", "const": SCHEMA});
    schema
}

/// `ringfence/diff-files/1` is in `diff-files.1.json`.
fn file(folder: &Path, schema: &str) -> PathBuf {
    let name = schema.strip_prefix("ringfence/").unwrap().replace('/', ".");
    folder.join(format!("{name}.json"))
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let wanted: BTreeMap<PathBuf, String> = Form::ALL
        .into_iter()
        .map(|form| (form.schema(), of(form)))
        .chain([(SCHEMA, of_plans())])
        .map(|(name, schema)| (file(&folder, name), serde_json::to_string_pretty(&schema).unwrap() + "\n"))
        .collect();
    assert_eq!(wanted.len(), Form::ALL.len() + 1, "two forms have one name");
    if std::env::var_os("RINGFENCE_BLESS").is_some() {
        wanted.iter().for_each(|(path, text)| fs::write(path, text).unwrap());
    }
    for (path, text) in &wanted {
        let there = fs::read_to_string(path).unwrap_or_default();
        assert!(there == *text, "{} is not what the types make; see src/report/schemas.rs", path.display());
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // What goes in is written by hand, and `tests/cluster_schema.rs` holds it against the reader.
        if path.file_name().is_some_and(|name| name == "cluster.1.json") {
            continue;
        }
        assert!(wanted.contains_key(&path), "{} is of no document", path.display());
    }
}

/// A schema that allows whatever stands there would find nothing.
#[test]
fn no_schema_allows_what_it_does_not_name() {
    fn open(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                if object.contains_key("properties")
                    && object.contains_key("type")
                    && object.get("additionalProperties") != Some(&Value::Bool(false))
                {
                    found.push(format!("{object:?}"));
                }
                object.values().for_each(|value| open(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| open(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for form in Form::ALL {
        let schema = of(form);
        let mut found = Vec::new();
        open(&schema, &mut found);
        assert!(found.is_empty(), "{}: {found:?}", form.schema());
        assert_eq!(schema["additionalProperties"], false, "{}", form.schema());
        assert!(schema["anyOf"][1]["required"].as_array().unwrap().len() > 1 || form == Form::VerifyHost, "{schema}");
    }
}
