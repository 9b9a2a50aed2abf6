//! What is asked of CRIU, and what it answers: the part of rpc.proto that `checkpoint` and `restore` use. The numbers are the
//! protocol's, which never change (images/rpc.proto in CRIU's repository).

use crate::wire::{Value, Writer, fields};

/// What CRIU is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Dump,
    /// Memory only, and once.
    PreDump,
    Restore,
}

impl Act {
    fn number(self) -> u64 {
        match self {
            Act::Dump => 1,
            Act::Restore => 2,
            Act::PreDump => 13,
        }
    }

    pub(crate) fn verb(self) -> &'static str {
        match self {
            Act::Dump => "dump the container",
            Act::PreDump => "dump the container's memory",
            Act::Restore => "restore the container",
        }
    }
}

const NOTIFY: u64 = 6;

/// `--manage-cgroups-mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    /// The cgroups are ours: CRIU neither saves nor restores them.
    #[default]
    Ignore,
    Soft,
    Full,
    Strict,
}

impl CgroupMode {
    fn number(self) -> u64 {
        match self {
            CgroupMode::Ignore => 0,
            CgroupMode::Soft => 3,
            CgroupMode::Full => 4,
            CgroupMode::Strict => 5,
        }
    }
}

/// Where pages are sent to instead of into the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageServer {
    pub address: String,
    pub port: u16,
}

/// `criu_opts`, as far as they are used. Descriptors are numbers here, because CRIU opens them below /proc/PID/fd of who asks.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub images: i32,
    pub work: Option<i32>,
    pub log_file: &'static str,
    pub root: String,
    /// Whom to dump.
    pub pid: Option<i32>,
    pub leave_running: bool,
    pub tcp_established: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub external_unix_sockets: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub lazy_pages: bool,
    pub track_memory: bool,
    pub parent_images: Option<String>,
    pub page_server: Option<PageServer>,
    pub cgroups: CgroupMode,
    /// By controller, the cgroup that is the top of what CRIU restores.
    pub cgroup_roots: Vec<(String, String)>,
    pub freezer: Option<String>,
    /// `CLONE_NEW*` bits of namespaces whose content is neither saved nor restored.
    pub empty_namespaces: u32,
    /// `mnt[KEY]:VALUE`, `net[INODE]:KEY`, `file[MOUNT:INODE]`.
    pub external: Vec<String>,
    /// Descriptors of CRIU's own that take the place of what was external at the dump.
    pub inherited: Vec<(String, i32)>,
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

/// As much as runc logs: an error comes with what led to it.
const LOG_LEVEL: u64 = 4;

impl Options {
    /// The request, in wire form.
    pub(crate) fn request(&self, act: Act) -> Vec<u8> {
        let mut request = Writer::default();
        request.number(1, act.number()).message(2, &self.message(act));
        request.finish()
    }

    fn message(&self, act: Act) -> Writer {
        let mut opts = Writer::default();
        opts.signed(1, self.images).flag(3, self.leave_running).flag(4, self.external_unix_sockets);
        opts.flag(5, self.tcp_established).flag(7, self.shell_job).flag(8, self.file_locks);
        opts.number(9, LOG_LEVEL).text(10, self.log_file).flag(12, true).text(13, &self.root);
        opts.flag(15, self.track_memory).flag(16, self.auto_dedup).flag(18, self.link_remap);
        opts.flag(46, self.tcp_skip_in_flight).flag(48, self.lazy_pages).flag(50, true);
        opts.flag(24, true).number(34, self.cgroups.number()).number(38, u64::from(self.empty_namespaces));
        // The older way of restoring mounts (65): the newer one cannot have several external mounts follow the same mount of the host.
        // Devices are compared by what they are, not by their inode; and the first process becomes a child of who asks.
        opts.flag(6, act == Act::Restore).flag(26, act == Act::Restore).flag(65, act == Act::Restore);
        for (field, number) in [(2, self.pid), (17, self.work)] {
            if let Some(number) = number {
                opts.signed(field, number);
            }
        }
        let texts = [(14, &self.parent_images), (44, &self.freezer), (53, &self.lsm_profile), (63, &self.lsm_mount_context)];
        for (field, text) in texts {
            if let Some(text) = text {
                opts.text(field, text);
            }
        }
        if let Some(PageServer { address, port }) = &self.page_server {
            let mut server = Writer::default();
            server.text(1, address).number(2, u64::from(*port));
            opts.message(11, &server);
        }
        for (controller, path) in &self.cgroup_roots {
            let mut root = Writer::default();
            root.text(1, controller).text(2, path);
            opts.message(25, &root);
        }
        for (key, number) in &self.inherited {
            let mut inherited = Writer::default();
            inherited.text(1, key).signed(2, *number);
            opts.message(27, &inherited);
        }
        for external in &self.external {
            opts.text(37, external);
        }
        opts
    }
}

/// The answer to a notice.
pub(crate) fn go_on(success: bool) -> Vec<u8> {
    let mut reply = Writer::default();
    // Present even when false: it is what CRIU looks at.
    reply.number(1, NOTIFY).number(3, u64::from(success));
    reply.finish()
}

/// A moment that CRIU tells of, and waits for the word to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// For example `pre-resume`.
    pub moment: String,
    /// The first process, where the moment has it.
    pub pid: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Notice(Notice),
    /// The end: whether it worked.
    Done {
        success: bool,
    },
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut kind, mut success, mut notice) = (None, None, None);
        for field in fields(bytes)? {
            match field {
                (1, Value::Number(number)) => kind = Some(number),
                (2, Value::Number(number)) => success = Some(number != 0),
                (5, Value::Bytes(message)) => notice = Some(parse_notice(message)?),
                _ => {}
            }
        }
        match (kind?, notice) {
            (NOTIFY, Some(notice)) => Some(Answer::Notice(notice)),
            _ => Some(Answer::Done { success: success? }),
        }
    }
}

fn parse_notice(bytes: &[u8]) -> Option<Notice> {
    let mut notice = Notice { moment: String::new(), pid: None };
    for field in fields(bytes)? {
        match field {
            (1, Value::Bytes(text)) => notice.moment = String::from_utf8_lossy(text).into_owned(),
            (2, Value::Number(number)) => notice.pid = i32::try_from(number).ok(),
            _ => {}
        }
    }
    Some(notice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let notice = b"\x08\x06\x10\x01\x2a\x0f\x0a\x0bpost-resume\x10\x2a";
        assert_eq!(Answer::parse(notice), Some(Answer::Notice(Notice { moment: "post-resume".to_owned(), pid: Some(42) })));
        assert_eq!(Answer::parse(b"\x08\x01\x10\x00\x4a\x02no"), Some(Answer::Done { success: false }));
        assert_eq!(Answer::parse(b"\x08\x02\x10\x01\x22\x02\x08\x05"), Some(Answer::Done { success: true }));
        assert_eq!(Answer::parse(b"\x10\x01"), None, "an answer to what?");
    }

    #[test]
    fn a_request_has_the_protocols_numbers() {
        let options = Options { images: 5, log_file: "dump.log", root: "/r".to_owned(), pid: Some(7), ..Options::default() };
        let request = options.request(Act::Dump);
        let Some([(1, Value::Number(1)), (2, Value::Bytes(opts))]) =
            fields(&request).as_deref().map(|all| <[_; 2]>::try_from(all).unwrap())
        else {
            panic!("{request:?}")
        };
        let has = |wanted| fields(opts).unwrap().contains(&wanted);
        assert!(has((1, Value::Number(5))) && has((2, Value::Number(7))) && has((13, Value::Bytes(b"/r"))));
        assert!(has((34, Value::Number(0))), "the default of CRIU would be to save cgroups");
        assert!(!has((26, Value::Number(1))), "only restored processes have a parent to choose");
    }
}
