use super::*;

#[test]
fn a_flag_goes_before_the_file_and_that_before_the_default() {
    let flags = Settings {
        bind_port: Some(9000),
        ..Settings::default()
    };
    let file: Settings =
        toml::from_str("bind_port = 1\nworkers = 3\nlog_format = \"json\"\ndata_dir = \"/d\"")
            .unwrap();
    let config = flags.or(file).checked().unwrap();
    assert_eq!(config.address.to_string(), "127.0.0.1:9000");
    assert_eq!((config.workers, config.log_format), (3, LogFormat::Json));
    assert_eq!(config.policy.queued, 1_000_000);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |settings: Settings| settings.checked().unwrap_err().to_string();
    let settings = Settings {
        data_dir: Some("/d".into()),
        ..Settings::default()
    };
    assert!(
        refused(Settings {
            tls_cert: Some("/c".into()),
            ..settings.clone()
        })
        .contains("both tls_cert and tls_key")
    );
    assert!(
        refused(Settings {
            workers: Some(0),
            ..settings
        })
        .contains("workers is 0")
    );
    assert!(toml::from_str::<Settings>("no_such_key = 1").is_err());
}

#[test]
fn tokens_are_asked_for_wherever_others_may_come_in() {
    let asks = |settings: Settings| {
        let settings = Settings {
            data_dir: Some("/d".into()),
            ..settings
        };
        settings.checked().unwrap().tokens.is_some()
    };
    let at = |ip: &str| Settings {
        listen_address: ip.parse().ok(),
        ..Settings::default()
    };
    assert!(!asks(at("127.0.0.1")));
    assert!(!asks(at("127.9.9.9")));
    assert!(!asks(at("::1")));
    assert!(asks(at("0.0.0.0")));
    assert!(asks(at("::")));
    assert!(asks(at("192.0.2.1")));
    assert!(asks(Settings {
        behind_proxy: Some(true),
        ..at("127.0.0.1")
    }));
    assert!(asks(Settings {
        worker_token_file: Some("/t".into()),
        ..at("127.0.0.1")
    }));
}

/// The settings of the Debian package, with all that it says of defaults taken at its word.
fn packaged() -> (Settings, Vec<String>) {
    let text = include_str!("../../packaging/faafo.toml");
    let is_setting = |line: &&str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let lines = text
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line));
    let lines: Vec<_> = lines.filter(is_setting).collect();
    let keys = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned());
    (toml::from_str(&lines.join("\n")).unwrap(), keys.collect())
}

#[test]
fn the_packaged_settings_explain_each_that_there_is() {
    let (_, mut explained) = packaged();
    // serde tells what there is when it is asked for something else.
    let refusal = toml::from_str::<Settings>("no_such_key = 1").unwrap_err();
    let names = refusal.message().split('`').skip(3).step_by(2);
    let mut all: Vec<_> = names.map(str::to_owned).collect();
    all.sort();
    explained.sort();
    assert!(all.len() > 20, "{refusal}");
    assert_eq!(explained, all);
}

#[test]
fn the_packaged_settings_name_the_defaults_that_hold() {
    let (packaged, _) = packaged();
    // Files that are read where they are named.
    let packaged = Settings {
        transport_url_file: None,
        transport_ca_file: None,
        ..packaged
    };
    let packaged = packaged.checked().unwrap();
    let defaults = Settings {
        data_dir: Some("/d".into()),
        ..Settings::default()
    };
    let defaults = defaults.checked().unwrap();
    let policy = |config: &Config| format!("{:?}", config.policy);
    assert_eq!(policy(&packaged), policy(&defaults));
    assert_eq!(packaged.lease, defaults.lease);
    assert_eq!(packaged.grace_period, defaults.grace_period);
    assert_eq!(packaged.log_level, defaults.log_level);
    assert_eq!(packaged.behind_proxy, defaults.behind_proxy);
}

#[test]
fn what_a_running_node_cannot_change_is_told() {
    let config = |settings: Settings| {
        let settings = Settings {
            data_dir: Some("/d".into()),
            ..settings
        };
        settings.checked().unwrap()
    };
    let before = config(Settings::default());
    let limits = config(Settings {
        max_side: Some(9),
        grace_period: Some(9),
        ..Settings::default()
    });
    assert!(before.fixed_that_differ(&limits).is_empty());
    let moved = config(Settings {
        bind_port: Some(9),
        token_file: Some("/t".into()),
        ..Settings::default()
    });
    // With one token given the other is asked for as well.
    assert_eq!(
        before.fixed_that_differ(&moved),
        ["bind_port", "token_file", "worker_token_file"]
    );
}

#[test]
fn what_a_running_worker_cannot_change_is_told() {
    let config = |settings: Settings| {
        let settings = Settings {
            spool: Some("/s".into()),
            ..settings
        };
        settings.checked_for_worker().unwrap()
    };
    let before = config(Settings::default());
    let patient = config(Settings {
        grace_period: Some(9),
        log_level: Some(LogLevel::Debug),
        // The limits are the server's.
        max_side: Some(9),
        ..Settings::default()
    });
    assert!(before.fixed_that_differ(&patient).is_empty());
    let moved = config(Settings {
        endpoint_url: Some(Addresses::One("http://192.0.2.1".into())),
        worker_token_file: Some("/t".into()),
        spool_size: Some(9),
        ..Settings::default()
    });
    assert_eq!(
        before.fixed_that_differ(&moved),
        ["endpoint_url", "worker_token_file", "spool_size"]
    );
}
