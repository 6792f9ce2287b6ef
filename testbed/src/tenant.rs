//! What a namespace has where somebody works: the ServiceAccount `default`, which a controller would make, and its right
//! to read what is in the namespace, which its people would give it.

use serde_json::json;

use crate::{ControlPlane, error::Result};

/// Role and RoleBinding of the account `default`. Without it a subscription that names no other account reads nothing.
pub const READER: &str = "default-reads";

impl ControlPlane {
    /// Gives a namespace its ServiceAccount `default`, and that the right to read everything in the namespace.
    pub async fn tenant(&self, namespace: &str) -> Result<()> {
        let rbac = "rbac.authorization.k8s.io";
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": READER},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]});
        let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": READER},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": READER},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]});
        self.apply_yaml(&[account, role, binding].map(|object| object.to_string()).join("\n---\n"), namespace).await?;
        Ok(())
    }
}
