import Glibc
import Testing

@testable import Processes

struct ChildProgramTests {
    private static func shell(
        _ script: String, _ arguments: [String] = [], environment: [String] = [], within time: Duration = .seconds(600)
    ) async throws -> ChildProgram.Outcome {
        try await ChildProgram.run("sh", ["-c", script, "sh"] + arguments, environment: environment, within: time)
    }

    @Test func saysHowItEndedAndWhatItSaid() async throws {
        let outcome: ChildProgram.Outcome = try await Self.shell("echo one; echo two >&2; exit 7")
        #expect(outcome.status == 7 && outcome.output == "one\ntwo\n")
        #expect(try await Self.shell("kill -9 $$").status == -9)
        #expect(try await Self.shell("true").status == 0)
    }

    @Test func argumentsArriveAsTheyAre() async throws {
        let odd: [String] = ["a b", "$(id)", "é\"'", ""]
        let outcome: ChildProgram.Outcome = try await Self.shell("for a; do echo \"<$a>\"; done", odd)
        #expect(outcome.output == odd.map { "<\($0)>\n" }.joined())
    }

    @Test func hasNothingOfOursButWhatIsHandedOn() async throws {
        setenv("PASSERELLE_PLANTED", "secret", 1)
        defer { unsetenv("PASSERELLE_PLANTED") }
        let descriptor: Int32 = open("/dev/null", O_RDONLY)
        defer { close(descriptor) }
        let seen: ChildProgram.Outcome = try await Self.shell(
            "env; ls /proc/$$/fd; read x || echo no-input", environment: ["GIVEN=1"])
        #expect(seen.output.contains("GIVEN=1\n") && seen.output.contains("PATH="))
        #expect(!seen.output.contains("PLANTED"))
        #expect(!seen.output.split(separator: "\n").contains("\(descriptor)") || descriptor < 3)
        #expect(seen.output.hasSuffix("no-input\n"))
    }

    @Test func whatNeverEndsIsKilledWithWhatItStarted() async throws {
        await #expect(throws: ChildProgram.Failure.self) {
            _ = try await Self.shell("sleep 86400 & wait", within: .milliseconds(200))
        }
    }

    @Test func keepsTheBeginningOfLongOutput() async throws {
        let outcome: ChildProgram.Outcome = try await Self.shell("yes | head -c 1000000")
        #expect(outcome.status == 0 && outcome.output.utf8.count == ChildProgram.outputBytesMax)
    }

    @Test func saysWhatCannotBeStarted() async throws {
        await #expect(throws: ChildProgram.Failure.self) {
            _ = try await ChildProgram.run("no-such-program-here", [], within: .seconds(600))
        }
    }
}
