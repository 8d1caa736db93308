//! What Kubernetes says of its own types and `k8s-openapi` leaves out: how lists merge, what is
//! atomic, defaults, forms of values.
//!
//! In: the schema of one type of Kubernetes. Out: the same, completed, without the descriptions
//! that would make the definitions several times as large. One table row per fact; the snapshot of
//! the published fields (`tests/it/crds.rs`) fails when a row goes missing.

use serde_json::{Map, Value, json};

/// Completes the schema of `kind`, which is named without its leading `io.k8s.`.
pub(super) fn complete(kind: &str, schema: &mut Value) {
    strip_descriptions(schema);
    let Value::Object(schema) = schema else {
        return;
    };
    let short = kind.rsplit('.').next().unwrap_or(kind);
    match short {
        "ObjectMeta" => {
            schema.clear();
            schema.insert("type".to_owned(), json!("object"));
        }
        "Quantity" => {
            schema.insert("pattern".to_owned(), json!(QUANTITY));
        }
        "Condition" => {
            schema.insert("properties".to_owned(), condition());
        }
        _ => {}
    }
    if ATOMIC_OBJECTS.contains(&short) {
        schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (_, lists) in ATOMIC_LISTS.iter().filter(|(of, _)| *of == short) {
        for list in *lists {
            put(properties, list, "x-kubernetes-list-type", json!("atomic"));
        }
    }
    for (_, list, keys) in KEYED_LISTS.iter().filter(|(of, _, _)| *of == short) {
        put(properties, list, "x-kubernetes-list-type", json!("map"));
        put(properties, list, "x-kubernetes-list-map-keys", json!(keys));
    }
    for (_, property, word) in DEFAULTS.iter().filter(|(of, _, _)| *of == short) {
        put(properties, property, "x-default", json!(word));
    }
    for (_, property) in FALSE_BY_DEFAULT.iter().filter(|(of, _)| *of == short) {
        put(properties, property, "x-default", json!(false));
    }
    let defaulted: Vec<String> = properties
        .iter()
        .filter(|(_, property)| property.get("x-default").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    if short == "ContainerRestartRuleOnExitCodes" {
        put(properties, "values", "x-kubernetes-list-type", json!("set"));
    }
    if short.ends_with("PortStatus") {
        put(properties, "error", "pattern", json!(QUALIFIED_NAME));
        put(properties, "error", "maxLength", json!(316));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !defaulted.iter().any(|defaulted| name == defaulted));
        if required.is_empty() {
            schema.remove("required");
        }
    }
}

fn put(properties: &mut Map<String, Value>, property: &str, key: &str, value: Value) {
    if let Some(Value::Object(schema)) = properties.get_mut(property) {
        schema.insert(key.to_owned(), value);
    }
}

fn strip_descriptions(schema: &mut Value) {
    let Value::Object(object) = schema else {
        return;
    };
    object.remove("description");
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(strip_descriptions);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = object.get_mut(key) {
            strip_descriptions(child);
        }
    }
}

/// A condition of the meta API.
fn condition() -> Value {
    json!({
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "message": {"type": "string", "maxLength": 32768},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "type": {"type": "string", "maxLength": 316, "pattern": QUALIFIED_NAME},
    })
}

const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

const QUALIFIED_NAME: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

/// Objects that one manager owns as a whole.
const ATOMIC_OBJECTS: &[&str] = &[
    "ConfigMapEnvSource",
    "ConfigMapKeySelector",
    "ConfigMapProjection",
    "ConfigMapVolumeSource",
    "FileKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "SecretEnvSource",
    "SecretKeySelector",
    "SecretProjection",
    "TypedLocalObjectReference",
];

/// Lists that one manager owns as a whole.
const ATOMIC_LISTS: &[(&str, &[&str])] = &[
    ("Capabilities", &["add", "drop"]),
    ("CephFSVolumeSource", &["monitors"]),
    ("ConfigMapProjection", &["items"]),
    ("ConfigMapVolumeSource", &["items"]),
    (
        "Container",
        &[
            "args",
            "command",
            "envFrom",
            "resizePolicy",
            "restartPolicyRules",
        ],
    ),
    ("DownwardAPIProjection", &["items"]),
    ("DownwardAPIVolumeSource", &["items"]),
    ("ExecAction", &["command"]),
    ("FCVolumeSource", &["targetWWNs", "wwids"]),
    ("HTTPGetAction", &["httpHeaders"]),
    ("ISCSIVolumeSource", &["portals"]),
    ("IngressLoadBalancerIngress", &["ports"]),
    ("IngressLoadBalancerStatus", &["ingress"]),
    ("LabelSelector", &["matchExpressions"]),
    ("LabelSelectorRequirement", &["values"]),
    ("LoadBalancerIngress", &["ports"]),
    ("LoadBalancerStatus", &["ingress"]),
    (
        "NodeAffinity",
        &["preferredDuringSchedulingIgnoredDuringExecution"],
    ),
    ("NodeSelector", &["nodeSelectorTerms"]),
    ("NodeSelectorRequirement", &["values"]),
    ("NodeSelectorTerm", &["matchExpressions", "matchFields"]),
    ("PersistentVolumeClaimSpec", &["accessModes"]),
    (
        "PodAffinity",
        &[
            "preferredDuringSchedulingIgnoredDuringExecution",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ],
    ),
    (
        "PodAffinityTerm",
        &["matchLabelKeys", "mismatchLabelKeys", "namespaces"],
    ),
    (
        "PodAntiAffinity",
        &[
            "preferredDuringSchedulingIgnoredDuringExecution",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ],
    ),
    ("PodSecurityContext", &["supplementalGroups", "sysctls"]),
    ("ProjectedVolumeSource", &["sources"]),
    ("RBDVolumeSource", &["monitors"]),
    ("SecretProjection", &["items"]),
    ("SecretVolumeSource", &["items"]),
    ("TopologySpreadConstraint", &["matchLabelKeys"]),
];

/// Lists whose items are told apart by these fields.
const KEYED_LISTS: &[(&str, &str, &[&str])] = &[
    ("Container", "env", &["name"]),
    ("Container", "ports", &["containerPort", "protocol"]),
    ("Container", "volumeDevices", &["devicePath"]),
    ("Container", "volumeMounts", &["mountPath"]),
    ("ResourceRequirements", "claims", &["name"]),
];

/// Words that stand where a manifest has none.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("AzureDiskVolumeSource", "fsType", "ext4"),
    ("ConfigMapEnvSource", "name", ""),
    ("ConfigMapKeySelector", "name", ""),
    ("ConfigMapProjection", "name", ""),
    ("ConfigMapVolumeSource", "name", ""),
    ("ContainerPort", "protocol", "TCP"),
    ("GRPCAction", "service", ""),
    ("ISCSIVolumeSource", "iscsiInterface", "default"),
    ("LocalObjectReference", "name", ""),
    ("RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("RBDVolumeSource", "pool", "rbd"),
    ("RBDVolumeSource", "user", "admin"),
    ("ScaleIOVolumeSource", "fsType", "xfs"),
    ("ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    ("SecretEnvSource", "name", ""),
    ("SecretKeySelector", "name", ""),
    ("SecretProjection", "name", ""),
];

/// Switches that are off where a manifest says nothing.
const FALSE_BY_DEFAULT: &[(&str, &str)] = &[
    ("AzureDiskVolumeSource", "readOnly"),
    ("FileKeySelector", "optional"),
];
