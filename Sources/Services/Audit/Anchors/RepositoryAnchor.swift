import Files
import Processes

/// A Git working tree: the file `checkpoint` in it has the newest one, the history has all. Needs the program `git`.
package struct RepositoryAnchor: CheckpointAnchor {
    private static let file: String = "checkpoint"
    /// For one call of `git`, a push included.
    private static let time: Duration = .seconds(60)

    private let folder: String
    private let pushes: Bool

    /// - Parameter pushes: whether each commit is pushed to where the branch comes from.
    package init(_ folder: String, pushes: Bool) {
        self.folder = folder
        self.pushes = pushes
    }

    package var name: String { "repository \(self.folder)" }
    package let canBeAsked: Bool = true

    /// What is committed: a file that was changed without is no witness.
    package func newest() async throws(AnchorError) -> [UInt8]? {
        guard try await self.git(["rev-parse", "--verify", "--quiet", "HEAD:\(Self.file)"]).status == 0 else {
            // Also where nothing is committed yet; a folder that is none of Git's shows when it is asked to commit.
            return nil
        }
        return Array(try await self.require(["cat-file", "blob", "HEAD:\(Self.file)"]).utf8)
    }

    package func keep(_ note: String, size: Int64) async throws(AnchorError) {
        do throws(FileError) {
            try Files.replace("\(self.folder)/\(Self.file)", with: Array(note.utf8), mode: 0o644)
        } catch {
            throw .failed("\(error)")
        }
        try await self.require(["add", "--", Self.file])
        // What was written and not committed last time is committed now, and what is there already needs no commit.
        if try await self.git(["diff", "--cached", "--quiet", "--", Self.file]).status != 0 {
            try await self.require([
                "-c", "user.name=Passerelle", "-c", "user.email=audit@passerelle.local", "-c", "commit.gpgsign=false",
                "commit", "--quiet", "-m", "Checkpoint of \(size) entries", "--", Self.file,
            ])
        }
        if self.pushes { try await self.require(["push", "--quiet"]) }
    }

    @discardableResult
    private func require(_ arguments: [String]) async throws(AnchorError) -> String {
        let outcome: ChildProgram.Outcome = try await self.git(arguments)
        guard outcome.status == 0 else {
            let said: String = outcome.output.split(separator: "\n").prefix(3).joined(separator: "; ")
            throw .failed("git \(arguments.first { !$0.hasPrefix("-") && !$0.contains("=") } ?? ""): \(said)")
        }
        return outcome.output
    }

    private func git(_ arguments: [String]) async throws(AnchorError) -> ChildProgram.Outcome {
        do {
            return try await ChildProgram.run(
                "git", ["-C", self.folder] + arguments, environment: ["GIT_TERMINAL_PROMPT=0", "LC_ALL=C"],
                within: Self.time)
        } catch {
            throw .failed("\(error)")
        }
    }
}
