//! A chat room over datagrams: join, say, leave.
//!
//! The room is one process with one datagram socket; it has no connections and needs no thread per member.
//! Every message is whole, and tells its sender's address, to which the room answers. So the room's whole
//! state is a table of addresses and names. A member is one socket, too, with an address that the kernel
//! chose.
//!
//! What a datagram service has to think of itself, since there is no connection that could break:
//!
//! - Who a message is from: from the address, never from the text, or anybody could speak as anybody.
//! - A member that is gone without a word: sending to it fails, and the room strikes it off.
//! - A member that does not read: local datagrams are not dropped, the sender waits. A room that waits for its
//!   slowest member is dead, so the room does not wait, and that member misses the message.
//!
//! Run it: `cargo run -p ipc --example chat`
//!
//! Look at: what each member sees. Carol is killed instead of leaving; see when the room
//! notices. A stranger who has not joined is not heard.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;

use ipc::Wait;
use ipc::process::{self, Process};
use ipc::socket::{Address, Datagram};

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("room", room), ("member", member)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    // Bound here and handed over, so that no member can come before the room is open.
    let name = story::unique_name("chat");
    let socket = Datagram::bind(&Address::abstract_name(&name)?)?;
    say!("opens the room @{name}, and starts four members")?;
    let room = Process::new("room").name("room").daemon(true).pass(socket).start()?;
    let mut director = Director { socket: Datagram::bind_any()?, room, members: Vec::new() };
    for member in ["Anna", "Bert", "Carol", "Stranger"] {
        director.start(member, &name)?;
    }
    director.line("Anna", "join Anna")?;
    director.line("Bert", "join Bert")?;
    director.line("Anna", "say good morning")?;
    director.line("Stranger", "say can you hear me?")?;
    director.line("Carol", "join Carol")?;
    director.line("Carol", "say I shall not be long")?;
    director.kill("Carol")?;
    director.line("Bert", "say are you still there, Carol?")?;
    director.line("Bert", "leave")?;
    director.line("Anna", "leave")?; // the room closes when it is empty
    story::join_all(&[director.room])?;

    note!(
        "\nNotice: the room does not hear the stranger, since it goes by addresses, not by words."
    )?;
    note!("Without looking at failed messages: the room would keep Carol as a member forever.")?;
    Ok(())
}

/// Has the members say their lines, one at a time.
struct Director {
    socket: Datagram,
    room: Process,
    members: Vec<(Process, Address)>,
}

impl Director {
    fn start(&mut self, name: &str, room: &str) -> ipc::Result<()> {
        let socket = Datagram::bind_any()?;
        let address = socket.address()?;
        let member = Process::new("member").name(name).daemon(true).arg(room).pass(socket);
        self.members.push((member.start()?, address));
        Ok(())
    }

    /// Returns when all members have seen what came of the line.
    fn line(&self, name: &str, line: &str) -> Result<(), Box<dyn Error>> {
        for (member, address) in &self.members {
            if member.name() == name {
                self.ask(line, address)?;
            }
        }
        self.members.iter().try_for_each(|(_, address)| self.ask("ready?", address))
    }

    /// Sends a member a request, and waits until it has done it.
    fn ask(&self, request: &str, member: &Address) -> Result<(), Box<dyn Error>> {
        let sent = self.socket.send_to(request.as_bytes(), member);
        let mut all = vec![&self.room];
        all.extend(self.members.iter().map(|(member, _)| member));
        story::while_alive(&all, |step| {
            self.socket.set_wait(Wait::Forever, Wait::AtMost(step));
            self.socket.receive(&mut [0; 8])
        })?; // first, since the death of a process explains why nothing could be sent
        Ok(sent?)
    }

    fn kill(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        say!("kills {name}; the room does not know yet")?;
        self.members.retain(|(member, _)| member.name() != name); // dropping a daemon kills it
        Ok(())
    }
}

fn room(_: &[String]) -> Result<(), Box<dyn Error>> {
    let socket = Datagram::from_fd(process::passed(0)?)?;
    socket.set_wait(Wait::Never, Wait::Forever);
    let mut members: HashMap<Address, String> = HashMap::new();
    let mut buffer = [0; 1024];
    loop {
        let received = socket.receive(&mut buffer)?;
        let Some(from) = received.from else { continue }; // nobody to answer to
        let text = String::from_utf8_lossy(&buffer[..received.length]).into_owned();
        let announcement = match (text.split_once(' ').unwrap_or((&text, "")), members.get(&from)) {
            (("join", name), None) => {
                members.insert(from.clone(), name.to_owned());
                format!("* {name} has come")
            }
            (("say", words), Some(name)) => format!("<{name}> {words}"),
            (("leave", _), Some(name)) => {
                let announcement = format!("* {name} has left");
                members.remove(&from);
                announcement
            }
            _ => {
                say!("ignores {text:?} from {from}, not a member")?;
                let _ = socket.send_to(b"", &from);
                continue;
            }
        };
        let mut gone = Vec::new();
        members.retain(|member, name| {
            let sent = socket.send_to(announcement.as_bytes(), member);
            let stays = !matches!(sent, Err(ipc::Error::Closed { .. }));
            if !stays {
                gone.push(name.clone());
            }
            stays
        });
        for name in gone {
            say!("cannot reach {name}, whose socket is gone, and removes the name")?;
        }
        let _ = socket.send_to(b"", &from); // done; an empty message is a message, too
        if members.is_empty() {
            say!("closes, since the last member has left")?;
            return Ok(());
        }
    }
}

/// One socket for both: the director's lines go to the room, what comes from the room goes to the screen.
fn member(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let socket = Datagram::from_fd(process::passed(0)?)?;
    let room = Address::abstract_name(&arguments[0])?;
    let mut director = None;
    let mut buffer = [0; 1024];
    loop {
        let received = socket.receive(&mut buffer)?;
        let from = received.from.ok_or("a message without an address")?;
        match (&*String::from_utf8_lossy(&buffer[..received.length]), &director) {
            ("", Some(director)) => socket.send_to(b"done", director)?,
            (announcement, _) if from == room => say!("sees  {announcement}")?,
            ("ready?", _) => socket.send_to(b"done", &from)?,
            (line, _) => {
                say!("sends {line:?}")?;
                socket.send_to(line.as_bytes(), &room)?;
                director = Some(from);
            }
        }
    }
}
