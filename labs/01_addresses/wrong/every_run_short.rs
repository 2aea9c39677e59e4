// check: ipv6.shortest_text
// mistake: the first zeros are shortened, not the most
// lab:fill ntop6
    let groups: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let text = |groups: &[u16]| groups.iter().map(|group| format!("{group:x}")).collect::<Vec<_>>().join(":");
    match groups.iter().position(|group| *group == 0) {
        None => text(&groups),
        Some(at) => {
            let zeros = groups[at..].iter().take_while(|group| **group == 0).count();
            format!("{}::{}", text(&groups[..at]), text(&groups[at + zeros..]))
        }
    }
// lab:end
