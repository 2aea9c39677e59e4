// check: client.back_pressure
// mistake: input is read whether or not the replies to it can go
// lab:fill wants
        Ready { input: true, output: !self.session.wants_input() }
// lab:end
