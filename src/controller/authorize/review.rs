//! One question to the API server.
//!
//! Touches the API server. Invariants: bounded in time, waiting for its turn included; asked in the account's own
//! namespace, so that a right in that namespace is all the operator needs; what goes wrong never counts as an answer.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::PartialObjectMeta;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::question::{Account, Question};

/// For one answer, waiting for its turn included. The client itself has no deadline.
const WITHIN: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReviewError {
    /// The operator may not ask.
    #[error("changehook may not {what} in namespace {namespace}; grant its ServiceAccount that")]
    Forbidden {
        /// Verb and resource.
        what: &'static str,
        namespace: String,
    },
    /// The API server answered with an error.
    #[error("failed to {what}: the API server answered {code}")]
    Refused {
        /// Verb and resource.
        what: &'static str,
        code: u16,
    },
    /// There was no answer, or none that could be read.
    #[error("failed to {what}: the API server could not be reached")]
    Unreachable {
        /// Verb and resource.
        what: &'static str,
    },
    /// There was no answer in time.
    #[error("failed to {what}: the API server did not answer in time")]
    Timeout {
        /// Verb and resource.
        what: &'static str,
    },
}

/// Whether it is so.
pub(super) async fn review(
    client: &Client,
    permits: &Semaphore,
    account: &Account,
    question: &Question,
) -> Result<bool, ReviewError> {
    let what = match question {
        Question::Exists => "get serviceaccounts",
        Question::Collection(_, _) | Question::Secret(_) | Question::ConfigMap(_) => "create localsubjectaccessreviews",
    };
    let answer = async {
        let _permit = permits.acquire().await;
        match question {
            Question::Exists => exists(client, account).await,
            Question::Collection(verb, collection) => {
                let attributes = ResourceAttributes {
                    verb: Some(verb.as_str().to_owned()),
                    group: Some(collection.group.clone()),
                    resource: Some(collection.plural.clone()),
                    ..ResourceAttributes::default()
                };
                may(client, account, attributes).await
            }
            Question::Secret(name) => may(client, account, get("secrets", name)).await,
            Question::ConfigMap(name) => may(client, account, get("configmaps", name)).await,
        }
    };
    match timeout(WITHIN, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err(ReviewError::Forbidden { what, namespace: account.namespace.clone() })
        }
        Ok(Err(kube::Error::Api(status))) => Err(ReviewError::Refused { what, code: status.code }),
        Ok(Err(_)) => Err(ReviewError::Unreachable { what }),
        Err(_) => Err(ReviewError::Timeout { what }),
    }
}

/// Of the core group.
fn get(resource: &str, name: &str) -> ResourceAttributes {
    ResourceAttributes {
        verb: Some("get".to_owned()),
        group: Some(String::new()),
        resource: Some(resource.to_owned()),
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    }
}

async fn exists(client: &Client, account: &Account) -> Result<bool, kube::Error> {
    let api: Api<PartialObjectMeta<ServiceAccount>> = Api::namespaced(client.clone(), &account.namespace);
    match api.get(&account.name).await {
        // one that is being deleted has no rights any more
        Ok(found) => Ok(found.metadata.deletion_timestamp.is_none()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

async fn may(client: &Client, account: &Account, attributes: ResourceAttributes) -> Result<bool, kube::Error> {
    let namespace = account.namespace.clone();
    let review = LocalSubjectAccessReview {
        metadata: kube::core::ObjectMeta { namespace: Some(namespace.clone()), ..kube::core::ObjectMeta::default() },
        spec: SubjectAccessReviewSpec {
            user: Some(account.user()),
            groups: Some(account.groups().to_vec()),
            resource_attributes: Some(ResourceAttributes { namespace: Some(namespace.clone()), ..attributes }),
            ..SubjectAccessReviewSpec::default()
        },
        ..LocalSubjectAccessReview::default()
    };
    let api: Api<LocalSubjectAccessReview> = Api::namespaced(client.clone(), &namespace);
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
}
