import CLinux
import Glibc

/// What the disk itself does: appends of 200 kB, each synced. The ceiling of everything below.
enum SyncBench {
    private static let writes: Int = 500
    private static let bytes: Int = 200_000

    static func run(_ options: BenchOptions) throws {
        let path: String = "\(options.folder)/passerelle-logbench-\(getpid())-sync"
        let file: Int32 = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw BenchError.cannotWrite(path) }
        defer {
            close(file)
            unlink(path)
        }
        let block: [UInt8] = Array(repeating: 7, count: self.bytes)
        var latencies: [UInt64] = []
        let watch: Stopwatch = Stopwatch()
        for _ in 0..<self.writes {
            let start: UInt64 = clinux_monotonic_nanoseconds()
            guard write(file, block, block.count) == block.count, fdatasync(file) == 0 else {
                throw BenchError.cannotWrite(path)
            }
            latencies.append(clinux_monotonic_nanoseconds() - start)
        }
        Table.line(
            "the disk alone: 200 kB written and synced", perSecond: Double(self.writes) / watch.seconds,
            latencies: latencies, cpuMicroseconds: watch.cpuSeconds * 1e6 / Double(self.writes))
    }
}

enum BenchError: Error {
    case cannotWrite(String)
}
