//! Lists of people, page by page, however many they are.

use futures_util::{StreamExt as _, stream};
use goch_tests::{Rest, Servers, System, members_path};
use reqwest::Method;
use serde_json::{Value, json};

/// More than a page may have.
const MEMBERS: usize = 1_005;

/// Requests under way at a time.
const AT_A_TIME: usize = 16;

async fn put(admin: &Rest, path: String, status: u16) {
    let put = admin.request(Method::PUT, &path).json(&json!({"display_name": "Somebody"}));
    admin.send(put).await.expect(status);
}

/// Every page of a list, and how many there were.
async fn all(rest: &Rest, path: &str, list: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut uids, mut pages) = (Vec::new(), 0);
    loop {
        let after = uids.last().cloned().unwrap_or_default();
        let page = rest.get(&format!("{path}?after={after}&limit={limit}")).await.expect(200).body;
        let found = page[list].as_array().cloned().unwrap_or_default();
        assert!(found.len() <= limit, "{} of {limit}", found.len());
        uids.extend(found.iter().filter_map(|it| it["uid"].as_str().map(str::to_owned)));
        pages += 1;
        if page["more"] == false {
            return (uids, pages);
        }
        assert_eq!(found.len(), limit, "a page that is not full, and yet not the last");
    }
}

#[tokio::test]
async fn nobody_is_left_out_of_a_list_however_many_there_are() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let admin = system.admin();
    let name = "ticket-42";
    system.create_channel(name, false).await;
    let base = format!("/v1/admin/channels/{name}");
    let expected: Vec<_> = (0..MEMBERS).map(|number| format!("m{number:04}")).collect();
    let puts = expected.iter().map(|uid| put(&admin, format!("{base}/members/{uid}"), 201));
    stream::iter(puts).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
    // Who is banned is among the members, and not one of them.
    let banned: Vec<_> = (0..5).map(|number| format!("m{number:04}-banned")).collect();
    for uid in &banned {
        put(&admin, format!("{base}/bans/{uid}"), 200).await;
    }

    for redis in [true, false] {
        if !redis {
            system.own_servers().redis.stop().await;
        }
        let members = format!("{base}/members");
        assert_eq!(all(&admin, &members, "members", 300).await, (expected.clone(), 4));
        let public = system.gateway().rest();
        let path = members_path(name);
        assert_eq!(all(&public, &path, "members", 1_000).await, (expected.clone(), 2));
        // Who does not say gets as many as possible, and is told that these are not all.
        let first = admin.get(&members).await.expect(200).body;
        let count = |list: &Value| list.as_array().map(Vec::len);
        assert_eq!((count(&first["members"]), &first["more"]), (Some(1_000), &json!(true)));
        let shown = admin.get(&base).await.expect(200).body;
        assert_eq!((&shown["member_count"], shown.get("members")), (&json!(MEMBERS), None));
        let listed = admin.get("/v1/admin/channels").await.expect(200).body;
        assert_eq!(listed["channels"], json!([shown]));
        // The first Goch's clients know no count: they are told that there are others.
        let first = admin.get(&format!("/admin/channels/{name}")).await.expect(200).body;
        assert_eq!((count(&first["members"]), &first["more_members"]), (Some(1_000), &json!(true)));
        let transcript = admin.get(&format!("{base}/transcript")).await.expect(200).body;
        assert_eq!(count(&transcript["members"]), Some(MEMBERS));
        assert_eq!(all(&admin, &format!("{base}/bans"), "bans", 2).await, (banned.clone(), 3));
    }
    for path in [format!("{base}/members"), format!("{base}/bans")] {
        for (query, field) in
            [("limit=0", "limit"), ("limit=1001", "limit"), ("after=a%20b", "after")]
        {
            let refused = admin.get(&format!("{path}?{query}")).await;
            refused.expect_problem(400, "bad_request", Some(field));
        }
    }
}
