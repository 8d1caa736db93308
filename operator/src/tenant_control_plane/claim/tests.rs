//! Two tenants and one store: who may have which name.

use serde_json::{Value, json};

use super::{Claim, Credentials};
use crate::api::TenantControlPlane;
use crate::tenant_control_plane::fixtures::documented_with;

const ALPHA: &str = "0a000000-0000-4000-8000-000000000000";
const BETA: &str = "0b000000-0000-4000-8000-000000000000";

fn tenant(uid: &str, spec: &Value) -> TenantControlPlane {
    let mut object = documented_with(spec);
    object.metadata.uid = Some(uid.to_owned());
    object.metadata.name = Some(uid.to_owned());
    object
}

fn claim(uid: &str, spec: &Value) -> Claim {
    Claim::of(&tenant(uid, spec), Credentials::default())
}

/// The claim of one whose place was made.
fn placed(uid: &str, schema: &str, user: &str) -> Claim {
    let setup = json!({"storage": {"setup": {"schema": schema, "user": user}}});
    let mut object = tenant(uid, &json!({}));
    object.status = serde_json::from_value(setup).unwrap();
    Claim::of(&object, Credentials::default())
}

fn fields(mine: &Claim, theirs: &Claim) -> Vec<String> {
    let conflicts = mine.conflicts(std::slice::from_ref(theirs));
    assert!(
        conflicts
            .iter()
            .all(|it| it.message.contains(&theirs.tenant)),
        "{conflicts:?}"
    );
    conflicts.into_iter().map(|it| it.field).collect()
}

#[test]
fn tenants_that_name_nothing_have_their_uids_and_do_not_meet() {
    let (alpha, beta) = (claim(ALPHA, &json!({})), claim(BETA, &json!({})));
    assert_eq!(
        (alpha.schema.text.as_str(), beta.user.text.as_str()),
        (ALPHA, BETA)
    );
    assert_eq!(fields(&alpha, &beta), Vec::<String>::new());
}

#[test]
fn nobody_takes_the_schema_or_the_user_of_another() {
    let thief = claim(
        BETA,
        &json!({"dataStoreSchema": ALPHA, "dataStoreUsername": ALPHA}),
    );
    let both = ["spec.dataStoreSchema", "spec.dataStoreUsername"];
    for holder in [claim(ALPHA, &json!({})), placed(ALPHA, ALPHA, ALPHA)] {
        assert_eq!(fields(&thief, &holder), both);
        assert_eq!(
            fields(&holder, &thief),
            Vec::<String>::new(),
            "and the holder is not stopped by it"
        );
    }
    let user = claim(BETA, &json!({"dataStoreUsername": "team-a"}));
    assert_eq!(fields(&user, &placed(ALPHA, ALPHA, "team-a")), [both[1]]);
}

#[test]
fn a_restored_secret_gives_no_right_to_what_another_holds() {
    let credentials = Credentials {
        schema: Some(ALPHA.to_owned()),
        user: Some("team-b".to_owned()),
    };
    let thief = Claim::of(&tenant(BETA, &json!({})), credentials);
    assert_eq!(
        fields(&thief, &placed(ALPHA, ALPHA, ALPHA)),
        ["DB_SCHEMA in the Secret with the DataStore's credentials"]
    );
}

#[test]
fn of_two_that_write_the_same_name_the_first_to_be_set_up_has_it() {
    let wish = json!({"dataStoreSchema": "team"});
    let (alpha, beta) = (claim(ALPHA, &wish), claim(BETA, &wish));
    assert_eq!(fields(&alpha, &beta), ["spec.dataStoreSchema"]);
    assert_eq!(fields(&beta, &alpha), ["spec.dataStoreSchema"]);
    let alpha = placed(ALPHA, "team", ALPHA);
    assert_eq!(fields(&alpha, &beta), Vec::<String>::new());
    let both = placed(BETA, "team", BETA);
    assert_eq!(
        fields(&alpha, &both),
        ["status.storage.setup.schema"],
        "two that share already are told so"
    );
}

#[test]
fn the_administrator_is_no_tenant_wherever_it_is_named() {
    assert_eq!(placed(ALPHA, "team", "team").mistakes(), []);
    let credentials = Credentials {
        schema: Some(format!("{BETA}/registry")),
        user: Some("root".to_owned()),
    };
    let claim = Claim::of(&tenant(ALPHA, &json!({})), credentials);
    let values: Vec<_> = claim.mistakes().into_iter().map(|it| it.value).collect();
    assert_eq!(values, [format!("{BETA}/registry").as_str(), "root"]);
}
