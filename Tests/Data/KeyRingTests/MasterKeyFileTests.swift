import Files
import KeyRing
import TestKit
import Testing

struct MasterKeyFileTests {
    @Test func makesTheKeyOnceAndKeepsIt() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let made = try MasterKeyFile(folder: folder.path).load()
        #expect(!made.wasThere)
        let again = try MasterKeyFile(folder: folder.path).load()
        #expect(again.wasThere)
        #expect(again.key.id == made.key.id)
        let wrapped: [UInt8] = try await made.key.wrap([1, 2, 3], name: "a")
        #expect(try await again.key.unwrap(wrapped, name: "a") == [1, 2, 3])
        await #expect(throws: KeyRingError.cannotOpen(name: "b")) { try await again.key.unwrap(wrapped, name: "b") }
        for index in wrapped.indices {
            var changed: [UInt8] = wrapped
            changed[index] ^= 1
            await #expect(throws: KeyRingError.self) { try await again.key.unwrap(changed, name: "a") }
        }
    }

    @Test func refusesAFileThatIsNoKey() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        folder.write([1, 2], to: MasterKeyFile.fileName)
        #expect(throws: KeyRingError.notAKey(path: folder.file(MasterKeyFile.fileName), bytes: 2)) {
            try MasterKeyFile(folder: folder.path).load()
        }
    }

    @Test(arguments: [
        String(repeating: "0f", count: 32), "Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8=",
    ])
    func readsAKeyOfTheEnvironmentInTwoForms(_ value: String) throws {
        let other: LocalMasterKey = try LocalMasterKey(
            variable: "K", value: String(repeating: "0F", count: 32).lowercased())
        #expect(try LocalMasterKey(variable: "K", value: value).id == other.id)
    }

    @Test(arguments: ["", "0f", "secret", String(repeating: "0f", count: 33), "Dw8P"])
    func refusesAVariableThatIsNoKeyWithoutShowingIt(_ value: String) {
        do throws(KeyRingError) {
            _ = try LocalMasterKey(variable: "K", value: value)
            Issue.record("was taken")
        } catch {
            #expect("\(error)".contains("K is no key: expected 64 hexadecimal digits"))
            #expect(value.isEmpty || !"\(error)".contains("'\(value)'"))
        }
    }
}
