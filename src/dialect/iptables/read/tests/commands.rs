//! What commands do to chains: what they put in, take out and count.

use super::{chain, chains, read};
use crate::ir::Family;

#[test]
fn commands_have_their_effect() {
    assert_eq!(
        chain("-A INPUT -j DROP\n-I INPUT -j ACCEPT\n-I INPUT 2 -j RETURN\n"),
        ["=> Accept", "=> Return", "=> Drop"]
    );
    assert_eq!(
        chain("-I INPUT -s 1.1.1.1,2.2.2.2\n-A INPUT\n"),
        ["src:2.2.2.2", "src:1.1.1.1", ""],
        "as iptables does it"
    );
    assert_eq!(chain("-A INPUT -j DROP\n-A INPUT -j ACCEPT\n-D INPUT 1\n"), ["=> Accept"]);
    assert_eq!(chain("-A INPUT -j DROP\n-A INPUT -j ACCEPT\n-D INPUT -j ACCEPT\n"), ["=> Drop"]);
    assert_eq!(chain("-A INPUT -p tcp -m tcp --dport 1\n-A INPUT\n-D INPUT -p tcp --dport 1\n"), [""]);
    assert_eq!(chain("-A INPUT -s 1.1.1.1,2.2.2.2,1.1.1.1\n-D INPUT -s 2.2.2.2,1.1.1.1\n"), ["src:1.1.1.1"]);
    assert_eq!(chain("-A INPUT -j DROP\n-A INPUT\n-R INPUT 1 -j ACCEPT\n"), ["=> Accept", ""]);
    // One rule of iptables that is several here has one number.
    let wide = "-A INPUT -p tcp ! --syn\n-A INPUT -j DROP\n-A INPUT -j ACCEPT\n";
    let several = chain(wide).len() - 2;
    assert!(several > 1, "{several}");
    let last = |text: &str| chain(text).split_off(several);
    assert_eq!(last(&format!("{wide}-D INPUT 2\n")), ["=> Accept"]);
    assert_eq!(last(&format!("{wide}-R INPUT 2 -j RETURN\n")), ["=> Return", "=> Accept"]);
    assert_eq!(last(&format!("{wide}-I INPUT 3 -j RETURN\n")), ["=> Drop", "=> Return", "=> Accept"]);
    assert_eq!(chain(&format!("{wide}-D INPUT 1\n")), ["=> Drop", "=> Accept"]);
    assert_eq!(chain(&format!("{wide}-D INPUT -p tcp ! --syn\n")), ["=> Drop", "=> Accept"]);
    assert_eq!(chain(&format!("{wide}-R INPUT 1 -j RETURN\n")), ["=> Return", "=> Drop", "=> Accept"]);
    assert_eq!(chain("-A INPUT -j RETURN\n-I INPUT 1 -p tcp ! --syn\n").len(), several + 1);
    assert_eq!(chain("-A INPUT -j DROP\n-F INPUT\n-A INPUT -j ACCEPT\n"), ["=> Accept"]);
    assert_eq!(chain("-F\n-A INPUT\n-Z\n"), [""]);
    let zeroed = read("*filter\n:INPUT DROP [0:0]\n-Z INPUT\nCOMMIT\n", Family::Ip).unwrap_err();
    assert!(zeroed.line == 3 && zeroed.message.contains("policy"), "{zeroed}");
    let flushed = read("*filter\n-A INPUT -j DROP\n-F\n-A INPUT\nCOMMIT\n", Family::Ip).unwrap_err();
    assert!(flushed.line == 3 && flushed.message.contains("name the chain"), "{flushed}");
    assert_eq!(chain("-N U\n-A U -j DROP\n:U - [0:0]\n-A U -j ACCEPT\n"), ["=> Accept"]);
    assert_eq!(chain("[12:345] -A INPUT -j DROP\n"), ["=> Drop"]);
    assert_eq!(chain("  -A INPUT -j DROP  \n\n \n# -A INPUT\n"), ["=> Drop"]);
    assert_eq!(chains("-N U\n-X U\n-N V\n-X\n"), []);
    assert_eq!(chain("-N U\n-X U\n-N U\n-A U -j DROP\n"), ["=> Drop"]);
    assert_eq!(chain("-N U.V\n-A U.V\n"), [""]);
    assert_eq!(chains("-N a.b\n-A INPUT -j a.b\n")[1], ("INPUT".into(), vec!["=> Jump(\"a_x2eb\")".to_owned()]));
    assert_eq!(chains(":U - [0:0]\n")[0].0, "U", "an empty chain of one's own is there");
    assert_eq!(chains(":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n-P OUTPUT ACCEPT\n"), [], "these do nothing");
}

/// iptables deletes the first rule that says the same, in whatever words; what says the same here need not to iptables.
#[test]
fn which_of_several_rules_goes_has_to_be_certain() {
    let delete = |rules: &str, gone: &str| {
        let text: String = rules.lines().map(|rule| format!("-A INPUT {rule}\n")).collect();
        read(&format!("*filter\n{text}-D INPUT {gone}\nCOMMIT\n"), Family::Ip)
            .map(|_| ())
            .map_err(|error| error.message)
    };
    let (short, long) = ("-p tcp --dport 8098 -j DROP", "-p tcp -m tcp --dport 8098 -j DROP");
    let both = format!("{short}\n-j ACCEPT\n{long}\n");
    assert_eq!(delete(&both, short), Ok(()));
    assert!(delete(&both, long).unwrap_err().contains("not certain"));
    assert_eq!(delete(&format!("{short}\n{short}\n"), long), Ok(()));
    assert_eq!(delete(short, long), Ok(()));
}
