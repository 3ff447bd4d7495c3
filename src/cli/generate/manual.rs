//! The page `ringfence.toml(5)`, made of the schema by which editors know the keys of a cluster file: what one has the other has, too.

use roff::{Inline, Roff, bold, italic, roman};
use serde_json::{Map, Value};

/// What the page is called, and its file.
pub const NAME: &str = "ringfence.toml.5";
const SCHEMA: &str = include_str!("../../../schemas/cluster.1.json");
const EXAMPLE: &str = include_str!("../../../rulesets/examples/mail-east.toml");
/// The tables in the order in which somebody writes them; others come behind these.
const ORDER: [&str; 6] = ["cluster", "networks", "node", "client", "services", "guard"];

/// The page.
///
/// # Errors
/// Where the schema is none, which is a mistake of this program.
pub fn page() -> anyhow::Result<String> {
    let schema: Value = serde_json::from_str(SCHEMA)?;
    let mut page = Roff::new();
    let version = format!("ringfence {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["ringfence.toml", "5", "", version.as_str(), "File Formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman("ringfence.toml - the cluster file of ringfence")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(about(&schema))]);
    for words in [
        "The file is TOML, by default /etc/ringfence/cluster.toml; a folder /etc/ringfence/clusters.d has one for each of several clusters. Keys \
         that are not listed here are errors. Addresses have no leading zeros, networks no bits behind their prefix, and there are no host names: \
         nothing is ever looked up. A single value stands for a list of one.",
        "Only name under [cluster] and private under [networks] have to be there, and a node; what the rest is by default stands with it, or is the \
         profile's (`ringfence profiles`).",
    ] {
        page.control("PP", []);
        page.text([roman(words)]);
    }
    let mut tables = Vec::new();
    let mut top = Vec::new();
    for (name, own) in properties(&schema) {
        match Table::of(&schema, name, own) {
            Some(table) => tables.push((ORDER.iter().position(|own| *own == name).unwrap_or(ORDER.len()), table)),
            None => top.extend(keys(&schema, "", name, own, false)),
        }
    }
    tables.sort_by_key(|(at, _)| *at);
    write(&mut page, "KEYS BEFORE ANY TABLE", None, &top);
    for (_, Table { heading, about, keys }) in tables {
        write(&mut page, &heading, Some(&about), &keys);
    }
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    page.text([roman(EXAMPLE)]);
    page.control("fi", []);
    page.control("SH", ["FILES"]);
    for (path, what) in [
        ("/etc/ringfence/cluster.toml", "the cluster file"),
        ("/etc/ringfence/clusters.d/*.toml", "those of several clusters, in place of it"),
        ("/usr/share/ringfence/schemas/cluster.1.json", "the same keys, for editors and programs"),
        ("/usr/share/ringfence/examples", "cluster files"),
        ("/usr/share/ringfence/profiles", "the services of each program"),
        ("/usr/share/doc/ringfence/rulesets/REFERENCE.md", "all findings, and what a profile has"),
    ] {
        page.control("TP", []);
        page.text([italic(path)]);
        page.text([roman(what)]);
    }
    page.control("SH", ["SEE ALSO"]);
    let pages =
        ["ringfence", "ringfence-check", "ringfence-init", "ringfence-import", "ringfence-apply", "ringfence-profiles"];
    let mut seen: Vec<Inline> = Vec::new();
    for (at, name) in pages.into_iter().enumerate() {
        seen.extend([bold(name), roman(if at + 1 < pages.len() { "(1), " } else { "(1)" })]);
    }
    page.text(seen);
    Ok(page.render())
}

/// A table of the file.
struct Table {
    heading: String,
    about: String,
    keys: Vec<Key>,
}

/// A key, in words.
struct Key {
    name: String,
    required: bool,
    about: String,
    kind: String,
    default: Option<String>,
    example: Option<String>,
}

impl Table {
    /// The table that a property is; `None` where it is a plain key.
    fn of(schema: &Value, name: &str, own: &Value) -> Option<Self> {
        let (heading, inner) = match own {
            own if own.get("properties").is_some() => (format!("[{name}]"), own),
            own if own.pointer("/items/properties").is_some() => (format!("[[{name}]]"), own.get("items")?),
            own if own.pointer("/additionalProperties/properties").is_some() => {
                (format!("[{name}.NAME]"), own.get("additionalProperties")?)
            }
            _ => return None,
        };
        let all = properties(inner);
        let keys = all.flat_map(|(name, own)| keys(schema, "", name, own, is_required(inner, name))).collect();
        Some(Self { heading, about: about(own), keys })
    }
}

/// A key, and those of a table within it.
fn keys(schema: &Value, before: &str, name: &str, own: &Value, required: bool) -> Vec<Key> {
    let name = format!("{before}{name}");
    let inner = own.get("additionalProperties").filter(|inner| inner.get("properties").is_some());
    let resolved = resolved(schema, own);
    let mut all = vec![Key {
        required,
        about: about(own),
        kind: kind(schema, own),
        default: own.get("default").map(toml),
        example: own.get("examples").or_else(|| resolved.get("examples")).and_then(|list| list.get(0)).map(toml),
        name: name.clone(),
    }];
    if let Some(inner) = inner {
        let before = format!("{name}.NAME.");
        all.extend(
            properties(inner).flat_map(|(name, own)| keys(schema, &before, name, own, is_required(inner, name))),
        );
    }
    all
}

fn write(page: &mut Roff, heading: &str, about: Option<&str>, keys: &[Key]) {
    page.control("SH", [heading]);
    if let Some(about) = about {
        page.text([roman(about)]);
    }
    for key in keys {
        page.control("TP", []);
        page.text([bold(key.name.as_str())]);
        page.text([roman(key.about.as_str())]);
        page.control("RS", []);
        page.text([roman(format!("Type: {}.", key.kind))]);
        page.control("br", []);
        page.text([roman(match (&key.default, key.required) {
            (Some(default), _) => format!("Default: {default}."),
            (None, true) => "Required.".to_owned(),
            (None, false) => "Default: none, or what is said above.".to_owned(),
        })]);
        if let Some(example) = &key.example {
            page.control("br", []);
            page.text([roman(format!("Example: {} = {example}", key.name.replace("NAME", "handoff")))]);
        }
        page.control("RE", []);
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all: Option<&Map<String, Value>> = schema.get("properties").and_then(Value::as_object);
    all.into_iter().flatten().map(|(name, own)| (name.as_str(), own))
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|list| list.iter().any(|own| own == name))
}

fn about(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What a reference leads to.
fn resolved<'s>(schema: &'s Value, own: &'s Value) -> &'s Value {
    let path = own.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| schema.pointer(path)).unwrap_or(own)
}

/// Which values there may be, in words.
fn kind(schema: &Value, own: &Value) -> String {
    let own = resolved(schema, own);
    if let Some(title) = own.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    if let Some(values) = own.get("enum").and_then(Value::as_array) {
        return values.iter().map(toml).collect::<Vec<_>>().join(", ");
    }
    if let Some([one, list]) = own.get("oneOf").and_then(Value::as_array).map(Vec::as_slice)
        && list.get("items").is_some()
    {
        return format!("{}; or a list of these", kind(schema, one));
    }
    match own.get("type").and_then(Value::as_str) {
        Some("boolean") => "true or false",
        Some("object") => "a table",
        Some("array") => "a list",
        _ => "text",
    }
    .to_owned()
}

/// A value as a cluster file has it.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let keys: Vec<String> = map.iter().map(|(key, own)| format!("{key} = {}", toml(own))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => value.to_string(),
    }
}
