//! One question to the API server.
//!
//! Touches the API server. Invariants: bounded in time, waiting for its turn included; what is about the account's own
//! namespace is asked there, so that a right in that namespace is all the operator needs; what goes wrong never counts as
//! an answer.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::{ObjectMeta, PartialObjectMeta};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::question::{Account, Collection, Question, Within};

/// For one answer, waiting for its turn included. The client itself has no deadline.
const WITHIN: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReviewError {
    /// The operator may not ask.
    #[error("changehook may not {what} in {place}; grant its ServiceAccount that")]
    Forbidden {
        /// Verb and resource.
        what: &'static str,
        place: String,
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
    let own = || format!("namespace {}", account.namespace);
    let (what, place) = match question {
        Question::Exists => ("get serviceaccounts", own()),
        Question::Collection(_, Collection { within: Within::Cluster, .. }) => {
            ("create subjectaccessreviews", "the whole cluster".to_owned())
        }
        Question::Collection(_, Collection { within: Within::Namespace, .. })
        | Question::Secret(_)
        | Question::ConfigMap(_) => ("create localsubjectaccessreviews", own()),
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
                may(client, account, collection.within, attributes).await
            }
            Question::Secret(name) => may(client, account, Within::Namespace, get("secrets", name)).await,
            Question::ConfigMap(name) => may(client, account, Within::Namespace, get("configmaps", name)).await,
        }
    };
    match timeout(WITHIN, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(ReviewError::Forbidden { what, place }),
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

async fn may(
    client: &Client,
    account: &Account,
    within: Within,
    attributes: ResourceAttributes,
) -> Result<bool, kube::Error> {
    let namespace = match within {
        Within::Namespace => Some(account.namespace.clone()),
        Within::Cluster => None,
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(account.user()),
        groups: Some(account.groups().to_vec()),
        resource_attributes: Some(ResourceAttributes { namespace: namespace.clone(), ..attributes }),
        ..SubjectAccessReviewSpec::default()
    };
    let status = if let Some(namespace) = namespace {
        let metadata = ObjectMeta { namespace: Some(namespace.clone()), ..ObjectMeta::default() };
        let review = LocalSubjectAccessReview { metadata, spec, ..LocalSubjectAccessReview::default() };
        let api: Api<LocalSubjectAccessReview> = Api::namespaced(client.clone(), &namespace);
        api.create(&PostParams::default(), &review).await?.status
    } else {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(client.clone());
        api.create(&PostParams::default(), &review).await?.status
    };
    Ok(status.is_some_and(|status| status.allowed && status.denied != Some(true)))
}
