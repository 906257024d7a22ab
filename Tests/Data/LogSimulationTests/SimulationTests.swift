import Glibc
import Testing

@testable import EventLog

/// Groups and the sequencer with made-up time, many seeds. A failure names its seed and prints the shortest run that fails:
///
///     SIMULATION_FIRST=4711 SIMULATION_SEEDS=1 PASSERELLE_ROOMS=LogSimulationTests swift test --disable-xctest
@Suite struct SimulationTests {
    private static let sizes: [Int] = [3, 6, 12, 24, 48]

    private static func environment(_ name: String, _ fallback: UInt64) -> UInt64 {
        getenv(name).flatMap { UInt64(String(cString: $0)) } ?? fallback
    }

    private static func check(_ run: (_ seed: UInt64, _ size: Int) -> Violation?) {
        let first: UInt64 = self.environment("SIMULATION_FIRST", 1)
        let count: UInt64 = self.environment("SIMULATION_SEEDS", 300)
        for seed: UInt64 in first..<(first + count) {
            if let failure: String = Seeds.failure(seed, sizes: self.sizes, run) {
                Issue.record("\(failure)")
                return
            }
        }
    }

    @Test func groupsKeepTheirPromises() {
        Self.check { seed, size in GroupSimulation(seed: seed, size: size).run() }
    }

    @Test func theSequencerKeepsItsPromises() {
        Self.check { seed, size in SequencerSimulation(seed: seed, size: size * 2).run() }
    }
}
