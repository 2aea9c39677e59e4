// check: echo.reset
// mistake: an error of one connection ends the program
// lab:replace receive
                    return Err(error);
// lab:with
                    panic!("recv: {error}");
// lab:end
