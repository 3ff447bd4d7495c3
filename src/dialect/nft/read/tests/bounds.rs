//! No text brings the reader down, loses a verdict on it, or takes more time than its length is worth.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{all, golden_rulesets, numbers, read, rules_of};

#[test]
fn every_truncation_and_many_mutations_are_survived() {
    let file = golden_rulesets().into_iter().find(|file| file.to_string_lossy().contains("dual-stack")).unwrap();
    let text = fs::read_to_string(file).unwrap();
    let begin = Instant::now();
    for end in 0..text.len() {
        let _ = read(text.get(..end).unwrap_or_default());
    }
    let mut random = numbers();
    let bytes: Vec<u8> = b"{}(),;:\"#=!<>&|^ \n\t\\$@*/-.0x19af_\0\xc3".to_vec();
    let rules = text.find("chain block").unwrap();
    for round in 0..6000 {
        let mut mutated = text.clone().into_bytes();
        let begin = if round % 2 == 0 { rules } else { 0 };
        let at = begin + random(mutated.len() - begin);
        match random(3) {
            0 => mutated[at] = bytes[random(bytes.len())],
            1 => mutated.insert(at, bytes[random(bytes.len())]),
            _ => drop(mutated.drain(at..(at + 1 + random(12)).min(text.len()))),
        }
        let _ = read(&String::from_utf8_lossy(&mutated));
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

/// Whatever stands before a verdict, it is found, or something that may be one is.
#[test]
fn no_verdict_is_lost() {
    const WORDS: &str = "meta l4proto tcp udp dport sport 22 , { } ct state new established set mark ip saddr 10.0.0.1 \
         @four . - / != == ! & | ( ) limit rate 10/minute burst counter log syn iifname \"eth0\" xt match th @th fib \
         daddr type local add update @moving frag frag-off 0 vmap : accept flags protocol ip6 nexthdr icmp redirect \
         notrack quota over option map reject with reset jhash < >= 1-5 foo direction original reply status dnat numgen \
         inc mod random offset maxseg size exists missing oif mbytes used meter 5 dup to device count socket transparent \
         exthdr rt hour";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = numbers();
    let mut exact = 0;
    for _ in 0..40_000 {
        let mut rule: Vec<&str> = (0..1 + random(9)).map(|_| words[random(words.len())]).collect();
        // Brackets that do not close are no matter of rules.
        let balanced = rule.iter().try_fold(0_usize, |depth, word| match *word {
            "{" => Some(depth + 1),
            "}" => depth.checked_sub(1),
            _ => Some(depth),
        });
        if balanced != Some(0) || rule.contains(&"log") && rule.contains(&"flags") {
            continue;
        }
        rule.extend(["counter", "drop"]);
        let rule = format!("counter {}", rule.join(" "));
        let (rules, listed) = rules_of("inet", &rule);
        assert!(rules.iter().any(|(_, verdict)| verdict.is_some()), "{rule}: {rules:?}");
        exact += usize::from(listed.is_empty());
    }
    assert!(exact > 50, "only {exact} rules were understood; is this still a test?");
}

#[test]
fn time_grows_with_the_text_and_no_faster() {
    let repeated = |piece: &str, times: usize| piece.repeat(times);
    let rule = |rule: &str, times| format!("table inet t {{\nchain c {{\n{}\n}}\n}}", repeated(rule, times));
    for text in [
        rule("fib daddr type local ", 20_000),
        rule("foo { ", 60),
        rule("tcp flags != syn ", 20_000),
        rule("meta l4proto { tcp, udp, icmp } ", 10_000),
        rule("meta l4proto { tcp, udp, icmp } udp dport { 1-20000 } accept\n", 5_000),
        rule("ip saddr . ", 50_000),
        rule("tcp dport vmap { 1 : accept, 2 : drop } \n", 20_000),
        rule("( ", 100_000),
        format!("table t\nadd chain t c\n{}", repeated("insert rule t c accept\n", 20_000)),
        repeated("table t\ndelete table t\n", 20_000),
        repeated("define a = 1\n", 50_000),
    ] {
        let begin = Instant::now();
        let _ = read(&text);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}: {}", text.get(..80).unwrap_or_default());
    }
}

/// `cargo test --release -- --ignored --nocapture a_hundred_thousand` prints what it costs.
#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_elements() {
    let address = |n: u32| Ipv4Addr::from_bits(0x0a00_0000 + n * 7);
    let plain: Vec<String> = (0..100_000).map(|n| format!("\t\t\t{}", address(n))).collect();
    let named: Vec<String> = (0..100_000).map(|n| format!("\t\t\t{}, # riak@{0}, c.toml:{n}", address(n))).collect();
    for (what, body) in [("plain", plain.join(",\n")), ("with origins", named.join("\n"))] {
        let text = format!(
            "table inet t {{\n\tset s {{\n\t\ttype ipv4_addr\n\t\tsize 131072\n\t\telements = {{\n{body}\n\t\t}}\n\t}}\n}}\n"
        );
        let mut times: Vec<Duration> = (0..15)
            .map(|_| {
                let begin = Instant::now();
                assert_eq!(all(&text).ruleset.tables[0].sets[0].elements.len(), 100_000);
                begin.elapsed()
            })
            .collect();
        times.sort();
        println!("{what}: {} bytes, median {:?}", text.len(), times[7]);
    }
}

/// Each of so many statements would be a rule with all the tests before it.
#[test]
fn many_statements_in_front_of_tests_are_not_told_apart() {
    for (times, rules) in [(8, 9), (100_000, 1)] {
        let rule = "notrack meta mark 1 ".repeat(times);
        let text = format!("table inet t {{ chain c {{ {rule} accept; }} }}");
        let read = read(&text).unwrap().ruleset;
        let found = &read.tables[0].chains[0].rules;
        assert_eq!(found.len(), rules);
        let unknown = matches!(found[found.len() - 1].verdict, Some(crate::ir::Verdict::Unknown(_)));
        assert_eq!(unknown, rules == 1);
    }
}
