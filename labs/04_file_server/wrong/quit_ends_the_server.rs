// check: clients.quit
// mistake: QUIT ends the whole program
// lab:fill quit
                println!("a client has quit");
                std::process::exit(0)
// lab:end
