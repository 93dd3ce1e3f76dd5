//! Backups: each node makes them of its own data, where its configuration says. Clients begin them and follow
//! them.

use quorate_protocol::client::{Backup, BackupAction, BackupReport, ClientReply};
use quorate_ring::NodeId;

use crate::client::{Client, unexpected};
use crate::dispatch::Route;
use crate::error::Error;

/// What a node can be told to do about its backups; one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupTask {
    /// Make one.
    Create {
        /// For people: at most 64 letters, digits, dots, dashes and underscores; may be empty.
        label: String,
    },
    /// Read what is stored and compare it with its checksums.
    Verify {
        /// Which backup; all of them where none is named.
        backup: Option<u64>,
    },
    /// Remove all but the latest.
    Prune {
        /// How many stay, at least 1.
        keep: u32,
    },
}

impl Client {
    /// Has a node begin a job, and says under which number: [`quorate_protocol::client::BackupJob::request`].
    /// The job goes on by itself; [`Self::backup_job`] says how far it is.
    ///
    /// # Errors
    /// The node is at another such job ([`crate::ErrorCode::Conflict`]), or could not be asked.
    pub async fn begin_backup(&self, node: NodeId, task: &BackupTask) -> Result<u64, Error> {
        let mut request = request(BackupAction::State);
        request.request = self.random();
        match task {
            BackupTask::Create { label } => {
                request.action = BackupAction::Create;
                request.label.clone_from(label);
            }
            BackupTask::Verify { backup } => {
                request.action = BackupAction::Verify;
                request.backup = *backup;
            }
            BackupTask::Prune { keep } => {
                request.action = BackupAction::Prune;
                request.keep = *keep;
            }
        }
        let number = request.request;
        self.ask_of_backups(node, request).await.map(|_| number)
    }

    /// How the job stands that a node is at, or was at last since it started.
    ///
    /// # Errors
    /// The node could not be asked.
    pub async fn backup_job(&self, node: NodeId) -> Result<BackupReport, Error> {
        self.ask_of_backups(node, request(BackupAction::State))
            .await
    }

    /// The backups of a node.
    ///
    /// # Errors
    /// The node could not be asked, or cannot read its backups.
    pub async fn backups(&self, node: NodeId) -> Result<BackupReport, Error> {
        self.ask_of_backups(node, request(BackupAction::List)).await
    }

    async fn ask_of_backups(&self, node: NodeId, request: Backup) -> Result<BackupReport, Error> {
        let reply = self.ask(request.into(), Route::Node(node)).await?;
        let ClientReply::BackupReport(report) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(report)
    }
}

const fn request(action: BackupAction) -> Backup {
    Backup {
        action,
        request: 0,
        label: String::new(),
        backup: None,
        keep: 0,
    }
}
