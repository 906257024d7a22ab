import Glibc
package import Time

/// What Prometheus' client libraries tell about every process, under the same names.
package enum ProcessMetrics {
    package static func register(in registry: MetricRegistry, clock: any WallClock) {
        let start: Double = Double(clock.now().milliseconds) / 1000
        registry.gauge("process_start_time_seconds", help: "Start time of the process since 1970, in seconds.") {
            start
        }
        registry.gauge("process_resident_memory_bytes", help: "Resident memory of the process, in bytes.") {
            Double(ProcessMetrics.residentBytes())
        }
        registry.gauge("process_open_fds", help: "Open file descriptors of the process.") {
            Double(ProcessMetrics.openDescriptors())
        }
        registry.samples("process_cpu_seconds_total", kind: .counter, help: "CPU time of the process, in seconds.") {
            [MetricSample(labels: [:], value: ProcessMetrics.processorSeconds())]
        }
    }

    /// Resident bytes; 0 when /proc cannot be read.
    package static func residentBytes() -> Int {
        let descriptor: Int32 = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var bytes: [UInt8] = [UInt8](repeating: 0, count: 128)
        let count: Int = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return 0 }
        // "size resident shared …", in pages.
        let fields = bytes[0..<count].split(separator: UInt8(ascii: " "))
        guard fields.count > 1, let pages: Int = Int(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func openDescriptors() -> Int {
        guard let folder: OpaquePointer = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var count: Int = 0
        while readdir(folder) != nil { count += 1 }
        // Without ".", ".." and the descriptor of the listing itself.
        return max(0, count - 3)
    }

    private static func processorSeconds() -> Double {
        var usage = rusage()
        guard getrusage(RUSAGE_SELF.rawValue, &usage) == 0 else { return 0 }
        let micros: Int = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(micros) / 1_000_000
    }
}
