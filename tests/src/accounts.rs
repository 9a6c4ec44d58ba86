//! Users of NATS who say who they are by a key: nkeys, and the JWTs of accounts.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::{
    rights::{Act, Right},
    system::SERVICES,
};

/// A server's configuration, and the content of the file that each service shows it.
pub(crate) struct Keyed {
    pub(crate) configuration: String,
    pub(crate) files: Vec<(&'static str, String)>,
}

/// The users of `users.conf`, each known by a public key in place of a password.
pub(crate) fn nkeys(users: &str) -> Keyed {
    let keys = SERVICES.map(|service| (service, KeyPair::new_user()));
    let mut configuration = users.to_owned();
    for (service, key) in &keys {
        let (begin, rest) = configuration.split_once(&format!("user: {service}\n")).unwrap();
        let (_password, rest) = rest.split_once('\n').unwrap();
        configuration = format!("{begin}nkey: {}\n{rest}", key.public_key());
    }
    let seed = |(service, key): &(&'static str, KeyPair)| (*service, key.seed().unwrap() + "\n");
    Keyed { configuration, files: keys.iter().map(seed).collect() }
}

/// An operator's server with an account for Goch, whose users have the rights of `users.conf`.
pub(crate) fn accounts() -> Keyed {
    let operator = KeyPair::new_operator();
    let (system, account) = (KeyPair::new_account(), KeyPair::new_account());
    let all = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = json!({"type": "account", "version": 2, "limits": all});
    let of_system = json!({"type": "account", "version": 2, "limits": {"subs": -1, "conn": -1}});
    let of_operator =
        json!({"type": "operator", "version": 2, "system_account": system.public_key()});
    let configuration = format!(
        // What a service shows has the list of its rights, which is longer than the 4 KiB that are the default.
        "max_control_line: 16KB\noperator: {}\nsystem_account: {}\nresolver: MEMORY\n\
         resolver_preload: {{\n  {}: {}\n  {}: {}\n}}\n",
        jwt(&operator, &operator, "operator", &of_operator),
        system.public_key(),
        system.public_key(),
        jwt(&operator, &system, "system", &of_system),
        account.public_key(),
        jwt(&operator, &account, "goch", &of_account),
    );
    let granted = Right::granted();
    let rights = |service: &str, wanted: Act| -> Vec<&str> {
        let of_service =
            granted.iter().filter(|right| right.user == service && right.act == wanted);
        of_service.map(|right| right.subject.as_str()).collect()
    };
    let credentials = |service: &'static str| {
        let user = KeyPair::new_user();
        let mut claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": {"allow": rights(service, Act::Publish)},
            "sub": {"allow": rights(service, Act::Subscribe)},
        });
        if service == "gateway" {
            claims["resp"] = json!({"max": 1, "ttl": 0});
        }
        let file = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(&account, &user, service, &claims),
            user.seed().unwrap(),
        );
        (service, file)
    };
    Keyed { configuration, files: SERVICES.map(credentials).into() }
}

/// What `issuer` says of `subject`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": name, "nats": nats,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}
