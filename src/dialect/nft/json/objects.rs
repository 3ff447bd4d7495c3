//! Tables, sets, chains, rules and elements, and commands that have them.

use serde_json::{Map, Value};

use super::elements;
use super::expressions::{Like, likes, likes_of_types, selector};
use super::statements::{stateful, statement, unknown};
use super::words::{flag, is_identifier, keyword, list, members, name, number, one_of, quoted, remark, single, value};

/// A line of text, and what it is.
type Line = (String, String);

/// The families of tables.
const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// Objects that decide nothing by themselves.
const SILENT: [&str; 11] = [
    "counter",
    "quota",
    "limit",
    "ct timeout",
    "ct expectation",
    "secmark",
    "synproxy",
    "flowtable",
    "tunnel",
    "counters",
    "quotas",
];

/// A command, or an object that is added by being there.
pub fn command(word: &str, body: &Value) -> Result<Vec<Line>, String> {
    match word {
        "add" | "create" | "insert" | "delete" | "destroy" | "flush" => {
            let (kind, body) = single(body).ok_or_else(|| format!("`{word}` of what?"))?;
            object(word, kind, body)
        }
        // These change nothing.
        "list" | "describe" | "monitor" => Ok(Vec::new()),
        "replace" | "rename" | "reset" => Err(format!("`{word}` needs a ruleset that is there already")),
        kind => object("", kind, body),
    }
}

fn object(command: &str, kind: &str, body: &Value) -> Result<Vec<Line>, String> {
    if kind == "ruleset" && command == "flush" {
        let family = match body.get("family") {
            None => String::new(),
            Some(family) => format!(" {}", one_of(family, &FAMILIES).ok_or("no family to flush")?),
        };
        return Ok(vec![(format!("flush ruleset{family}"), "flush ruleset".to_owned())]);
    }
    if SILENT.contains(&kind) {
        return Ok(Vec::new());
    }
    let found = match kind {
        "table" | "chain" | "rule" | "set" | "map" | "element" | "ct helper" => body.as_object(),
        "meter" => body.as_object().filter(|_| command == "flush"),
        _ => return Err(format!("`{}` is nothing that is known of nft's JSON", shown(kind))),
    };
    let body = found.ok_or_else(|| format!("`{kind}` has to be an object"))?;
    let object = Object::of(kind, body)?;
    let removes = matches!(command, "delete" | "destroy" | "flush");
    let lines = match kind {
        "table" if !removes => vec![object.table()?],
        "chain" if !removes => object.chain(command)?,
        "set" | "map" if !removes => vec![object.set()?],
        "element" if command != "flush" => vec![object.elements(command)?],
        "rule" if !removes => vec![object.rule(command)],
        "ct helper" if !removes => vec![object.helper()],
        "rule" => return Err("a rule goes by its handle, which says nothing in a file".to_owned()),
        _ => vec![format!("{command} {kind} {}", object.path)],
    };
    Ok(lines.into_iter().map(|line| (line, object.described())).collect())
}

fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// An object with its name.
struct Object<'v> {
    kind: &'v str,
    body: &'v Map<String, Value>,
    /// `FAMILY TABLE NAME` in words; of a rule, of its chain.
    path: String,
    family: &'v str,
    table: &'v str,
    name: &'v str,
}

impl<'v> Object<'v> {
    fn of(kind: &'v str, body: &'v Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let need = |key: &str| text(key).ok_or_else(|| format!("a {kind} without `{key}`"));
        let family = text("family").unwrap_or("ip");
        if !FAMILIES.contains(&family) {
            return Err(format!("`{}` is no family", shown(family)));
        }
        let (table, own) = match kind {
            "table" => (need("name")?, ""),
            "rule" => (need("table")?, need("chain")?),
            _ => (need("table")?, need("name")?),
        };
        let word = |text: &str| name(text).ok_or_else(|| format!("the name `{}` cannot be read", shown(text)));
        let mut path = format!("{family} {}", word(table)?);
        if kind != "table" {
            path.push_str(&format!(" {}", word(own)?));
        }
        Ok(Self { kind, body, path, family, table, name: own })
    }

    fn described(&self) -> String {
        let table = format!("table {} {}", self.family, shown(self.table));
        match self.kind {
            "table" => table,
            "rule" => match self.body.get("handle").and_then(number) {
                Some(handle) => format!("rule with handle {handle} of chain {} of {table}", shown(self.name)),
                None => format!("rule of chain {} of {table}", shown(self.name)),
            },
            "element" => format!("elements of {} of {table}", shown(self.name)),
            kind => format!("{kind} {} of {table}", shown(self.name)),
        }
    }

    /// A helper of connection tracking; what is said of it otherwise than usual is left out, and then it is any.
    fn helper(&self) -> String {
        let known = ["family", "table", "name", "handle", "type", "protocol", "l3proto"];
        let said = |key: &str| self.body.get(key).and_then(Value::as_str);
        let kind = said("type").and_then(quoted).zip(said("protocol").filter(|own| is_identifier(own)));
        let said = kind.filter(|_| self.others(&known).is_empty());
        let said = said.map(|(kind, protocol)| format!("type {kind} protocol {protocol}"));
        format!("add ct helper {} {{ {} }}", self.path, said.unwrap_or_default())
    }

    /// The members that are not among these.
    fn others(&self, known: &[&str]) -> Vec<&'v String> {
        self.body.keys().filter(|key| !known.contains(&key.as_str())).collect()
    }

    fn table(&self) -> Result<String, String> {
        if let Some(other) = self.others(&["family", "name", "handle", "flags", "comment", "userdata"]).first() {
            return Err(format!("a table with `{}`, which is not known", shown(other)));
        }
        let flags: Option<Vec<&str>> = self.body.get("flags").map(list).unwrap_or_default().iter().map(flag).collect();
        let flags = flags.ok_or("the flags of a table are words")?;
        let block = if flags.is_empty() { String::new() } else { format!(" {{ flags {}; }}", flags.join(",")) };
        Ok(format!("table {}{block}", self.path))
    }

    fn chain(&self, command: &str) -> Result<Vec<String>, String> {
        let verb = if command.is_empty() { "add" } else { command };
        let mut lines = vec![format!("{verb} chain {}{}", self.path, self.hook()?)];
        let known = ["family", "table", "name", "handle", "type", "hook", "prio", "policy", "dev", "comment"];
        for other in self.others(&known) {
            let doubt = unknown(&serde_json::json!({ other.as_str(): self.body.get(other.as_str()) }));
            lines.push(format!("add rule {} {doubt}", self.path));
        }
        Ok(lines)
    }

    fn hook(&self) -> Result<String, String> {
        let Some(hook) = self.body.get("hook") else { return Ok(String::new()) };
        let wrong = |what: &str| format!("chain `{}` has no {what} that is known", shown(self.name));
        let hook = keyword(hook).ok_or_else(|| wrong("hook"))?;
        let kind = self.body.get("type").and_then(keyword).ok_or_else(|| wrong("type"))?;
        let priority = match self.body.get("prio") {
            Some(Value::Number(number)) => number.as_i64().map(|number| number.to_string()),
            Some(Value::String(named)) => Some(named.clone()).filter(|named| is_priority(named)),
            _ => None,
        };
        let priority = priority.ok_or_else(|| wrong("priority"))?;
        let policy = match self.body.get("policy") {
            None => String::new(),
            Some(policy) => format!(" policy {};", policy_word(policy).ok_or_else(|| wrong("policy"))?),
        };
        let devices = match self.body.get("dev") {
            Some(devices) => {
                let names: Option<Vec<String>> = list(devices).iter().map(|one| quoted(one.as_str()?)).collect();
                let names = names.filter(|names| !names.is_empty()).ok_or_else(|| wrong("device"))?;
                format!(" devices = {{ {} }}", names.join(", "))
            }
            // nft does not always say where it is hung in.
            None if hook == "ingress" => " devices = { \"?\" }".to_owned(),
            None => String::new(),
        };
        Ok(format!(" {{ type {kind} hook {hook}{devices} priority {priority};{policy} }}"))
    }

    fn set(&self) -> Result<String, String> {
        let kind = self.kind;
        let wrong = || format!("{kind} `{}` has no type that is known", shown(self.name));
        let likes = |types: &Value| of_types(types);
        let keys = self.body.get("type").ok_or_else(wrong)?;
        let (word, mut types) = elements::types(keys, selector_or_concat).unwrap_or(("type", "unknown".to_owned()));
        if let Some(to) = self.body.get("map").filter(|_| kind == "map") {
            let (_, to) = elements::types(to, selector_or_concat).unwrap_or(("type", "unknown".to_owned()));
            types.push_str(&format!(" : {to}"));
        }
        let mut text = format!("add {kind} {} {{ {word} {types};", self.path);
        for one in self.body.get("flags").map(list).unwrap_or_default() {
            text.push_str(&format!(" flags {};", flag(one).ok_or("the flags of a set are words")?));
        }
        for (option, value) in self.body {
            match option.as_str() {
                "family" | "table" | "name" | "handle" | "type" | "map" | "flags" | "elem" | "comment" | "policy"
                | "gc-interval" => {}
                // How many there are.
                "count" if value.is_u64() => {}
                "size" | "timeout" => {
                    let number = number(value).ok_or_else(|| format!("the {option} of a set is a number"))?;
                    text.push_str(&format!(" {option} {number}{};", if option == "size" { "" } else { "s" }));
                }
                "auto-merge" if value.as_bool() == Some(true) => text.push_str(" auto-merge;"),
                "auto-merge" if value.as_bool() == Some(false) => {}
                "stmt" => {
                    for one in list(value) {
                        let said = stateful(one).unwrap_or_else(|| format!("limit {}", unknown(one)));
                        text.push_str(&format!(" {said};"));
                    }
                }
                // Whether something is found depends on it, for all that is known.
                other => text.push_str(&format!(" limit {};", unknown(&serde_json::json!({ other: value })))),
            }
        }
        // What rules put into it cannot be seen where its name needs quotes.
        if !is_identifier(self.name) {
            text.push_str(" limit json;");
        }
        if let Some(all) = self.body.get("elem") {
            text.push_str(&format!(" elements = {};", self.block(all, &likes(keys), self.counted())));
        }
        Ok(text + " }")
    }

    /// Whether each element has what the set says, and that is a counter at most.
    fn counted(&self) -> bool {
        let harmless = |one: &Value| single(one).is_some_and(|(kind, _)| matches!(kind, "counter" | "last"));
        self.body.get("stmt").is_some_and(|all| list(all).iter().all(harmless))
    }

    /// Elements between brackets. One that is not understood makes all of them unknown.
    fn block(&self, all: &Value, likes: &[Like], counted: bool) -> String {
        let mut text = String::from("{ ");
        for (at, one) in list(all).iter().enumerate() {
            if at > 0 {
                text.push_str(", ");
            }
            // Of an element alone it cannot be seen whether the set is a map.
            let pair = matches!(one.as_array().map(Vec::as_slice), Some([_, _])) && self.kind != "set";
            let found =
                if pair { elements::named_pair(one, likes, counted) } else { elements::key(one, likes, counted) };
            text.push_str(&found.unwrap_or_else(|| format!("unknown limit {}", unknown(one))));
        }
        text + " }"
    }

    fn elements(&self, command: &str) -> Result<String, String> {
        if let Some(other) = self.others(&["family", "table", "name", "elem"]).first() {
            return Err(format!("elements with `{}`, which is not known", shown(other)));
        }
        let all = self.body.get("elem").ok_or("an element without `elem`")?;
        let verb = match command {
            "" | "create" | "insert" => "add",
            other => other,
        };
        Ok(format!("{verb} element {} {}", self.path, self.block(all, &[], false)))
    }

    fn rule(&self, command: &str) -> String {
        let verb = if command == "insert" { "insert" } else { "add" };
        let mut text = format!("{verb} rule {}", self.path);
        // A handle in a command names the rule that this one goes beside.
        let place = if command.is_empty() { None } else { self.body.get("index").or_else(|| self.body.get("handle")) };
        if let Some(place) = place {
            let word = if self.body.contains_key("index") { "index" } else { "handle" };
            text.push_str(&format!(" {word} {}", value(place, false).unwrap_or_default()));
        }
        let known = ["family", "table", "chain", "handle", "index", "expr", "comment"];
        for other in self.others(&known) {
            text.push_str(&format!(
                " {}",
                unknown(&serde_json::json!({ other.as_str(): self.body.get(other.as_str()) }))
            ));
        }
        let statements = self.body.get("expr").and_then(Value::as_array).filter(|all| !all.is_empty());
        match statements {
            Some(statements) => {
                for one in statements {
                    text.push_str(&format!(" {}", statement(one)));
                }
            }
            // A rule that says nothing: somebody has left out what it says.
            None => text.push_str(&format!(" {}", unknown(&serde_json::json!({ "expr": self.body.get("expr") })))),
        }
        if let Some(comment) = self.body.get("comment") {
            text.push_str(&format!(" comment {}", remark(comment.as_str().unwrap_or("?"))));
        }
        text
    }
}

fn policy_word(policy: &Value) -> Option<&str> {
    policy.as_str().filter(|policy| matches!(*policy, "accept" | "drop"))
}

/// `filter`, `filter - 10`, `-150`.
fn is_priority(text: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'+');
    !text.is_empty() && text.bytes().all(fit)
}

fn selector_or_concat(one: &Value) -> Option<String> {
    selector(one)
}

/// How the elements of a set of these types look.
fn of_types(types: &Value) -> Vec<Like> {
    match members(types, &["typeof"]).and_then(|map| map.get("typeof")) {
        Some(expression) => likes(expression),
        None => likes_of_types(list(types)),
    }
}
