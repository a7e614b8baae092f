//! A victim in a process of its own, so that its memory is its own: the test's binary, started again for one
//! ignored test. It says where it is, hears on its standard input what to do, and judges its own memory at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const MARK: &str = "SYNOD_HOSTILE_VICTIM";
const AT: &str = "victim at ";
/// A victim takes a hundredth of this to start.
const START: Duration = Duration::from_secs(60);

/// A victim, seen from outside. However the test ends, the process is gone with it.
pub(crate) struct Apart {
    child: Child,
    orders: Option<ChildStdin>,
    said: Option<BufReader<ChildStdout>>,
}

impl Apart {
    /// Starts the ignored test of this name and returns what it announced.
    pub(crate) fn start(test: &str) -> (Self, String) {
        Self::of(Command::new(std::env::current_exe().unwrap()).args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
        ]))
    }

    fn of(command: &mut Command) -> (Self, String) {
        let command = command.env(MARK, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (orders, said) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut apart = Self { child, orders, said: None };
        let (announcer, announced) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut said = BufReader::new(said);
            let _ = announcer.send((read_announcement(&mut said), said));
        });
        match announced.recv_timeout(START) {
            Ok((Some(at), said)) => {
                apart.said = Some(said);
                (apart, at)
            }
            Ok((None, _)) => panic!("the victim does not start: {}", apart.child.wait().unwrap()),
            Err(_) => panic!("the victim does not start within {START:?}"),
        }
    }

    pub(crate) fn order(&mut self, what: &str) {
        writeln!(self.orders.as_ref().unwrap(), "{what}").unwrap();
    }

    /// The last order; the victim's own judgement of its memory.
    pub(crate) fn end(mut self, what: &str) {
        self.order(what);
        drop(self.orders.take());
        let mut said = String::new();
        self.said.take().unwrap().read_to_string(&mut said).unwrap();
        println!("{}", said.lines().filter(|line| line.contains("memory")).collect::<Vec<_>>().join("\n"));
        assert!(self.child.wait().unwrap().success(), "the victim ended badly: {said}");
        assert!(said.contains("memory") && said.contains("1 passed"), "{said}");
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Both fail when it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rest of the line in which the victim says where it is; `None` if it ends without one.
fn read_announcement(said: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    while said.read_line(&mut line).ok()? > 0 {
        if let Some((_, at)) = line.split_once(AT) {
            return Some(at.trim().to_owned());
        }
        line.clear();
    }
    None
}

/// Whether this process is a victim. Somebody who runs all ignored tests is not meant.
pub(crate) fn is_victim() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Tells whoever started this process that it is ready, and where.
pub(crate) fn announce(at: &str) {
    println!("{AT}{at}");
}

/// The victim of the test below, which has nothing to say.
#[test]
#[ignore = "a test starts it itself, in a process of its own"]
fn mute() {}

#[test]
#[should_panic(expected = "the victim does not start: exit status: 0")]
fn a_victim_that_ends_before_it_is_ready_is_waited_for_and_told_of() {
    Apart::start("testing::apart::mute");
}
