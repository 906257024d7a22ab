import Glibc

/// The process: a synchronous start, so that nothing runs on the main actor; commands are tasks on the cooperative pool.
@main
struct Main {
    static func main() {
        let words: [String] = Array(CommandLine.arguments.dropFirst())
        Task.detached {
            let code: Int32 = await CommandLineTool.run(words)
            exit(code)
        }
        while true { pause() }
    }
}
