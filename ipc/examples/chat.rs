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
//! Look at: each member's screen (the name in front). Carol is killed instead of leaving; see when the room
//! notices. A stranger who has not joined is not heard.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use ipc::Wait;
use ipc::process::{self, Process};
use ipc::socket::{Address, Datagram};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("room", room), ("member", member)]);
    // Bound here and handed over, so that no member can come before the room is open.
    let name = format!("ipc-example-chat-{}", std::process::id());
    let socket = Datagram::bind(&Address::abstract_name(&name)?)?;
    let room = Process::new("room").daemon(true).pass(socket).start()?;

    // The director sends each member its lines, one at a time, and waits until it has said them.
    let director = Datagram::bind_any()?;
    director.set_wait(Wait::Forever, Wait::AtMost(Duration::from_secs(10)));
    let start_member = |name: &str| -> ipc::Result<(Process, Address)> {
        let socket = Datagram::bind_any()?;
        let address = socket.address()?;
        Ok((Process::new("member").daemon(true).arg(name).pass(socket).start()?, address))
    };
    let send_line = |member: &(Process, Address), line: &str| -> ipc::Result<()> {
        director.send_to(line.as_bytes(), &member.1)?;
        director.receive(&mut [0; 8]).map(drop)
    };
    let (anna, bert, carol) =
        (start_member("Anna")?, start_member("Bert")?, start_member("Carol")?);
    let stranger = start_member("Stranger")?;
    for member in [&anna, &bert, &carol, &stranger] {
        send_line(member, &format!("the room is at {name}"))?;
    }
    send_line(&anna, "join Anna")?;
    send_line(&bert, "join Bert")?;
    send_line(&anna, "say good morning")?;
    send_line(&stranger, "say can you hear me?")?;
    send_line(&carol, "join Carol")?;
    send_line(&carol, "say I shall not be long")?;
    carol.0.kill()?;
    carol.0.join()?;
    println!("main: Carol was killed; the room does not know yet");
    send_line(&bert, "say are you still there, Carol?")?;
    send_line(&bert, "leave")?;
    send_line(&anna, "say bye, then")?;
    send_line(&anna, "leave")?; // the room closes when it is empty
    for member in [anna, bert, stranger] {
        send_line(&member, "end")?;
        member.0.join()?;
    }
    println!("main: the room ended with {}", room.join()?);
    Ok(())
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
                println!("room: {text:?} from {from}, who is no member; ignored");
                let _ = socket.send_to(b"", &from);
                continue;
            }
        };
        members.retain(|member, name| {
            let gone = matches!(
                socket.send_to(announcement.as_bytes(), member),
                Err(ipc::Error::Closed { .. })
            );
            if gone {
                println!("room: {name} is gone without a word; struck off");
            }
            !gone
        });
        let _ = socket.send_to(b"", &from); // done; an empty message is a message, too
        if members.is_empty() {
            return Ok(());
        }
    }
}

/// One socket for both: the director's lines go to the room, what comes from the room goes to the screen.
fn member(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let socket = Datagram::from_fd(process::passed(0)?)?;
    let mut buffer = [0; 1024];
    let (mut room, mut director) = (None, None);
    loop {
        let received = socket.receive(&mut buffer)?;
        let text = String::from_utf8_lossy(&buffer[..received.length]);
        if received.from == room {
            match (&*text, &director) {
                ("", Some(director)) => socket.send_to(b"done", director)?,
                (announcement, _) => println!("{:>10} | {announcement}", arguments[0]),
            }
            continue;
        }
        let from = received.from.ok_or("the director has a name")?;
        if let Some(name) = text.strip_prefix("the room is at ") {
            room = Some(Address::abstract_name(name)?);
            socket.send_to(b"done", &from)?;
            director = Some(from);
        } else if text == "end" {
            return Ok(socket.send_to(b"done", &from)?);
        } else if let Some(room) = &room {
            socket.send_to(text.as_bytes(), room)?;
        }
    }
}
