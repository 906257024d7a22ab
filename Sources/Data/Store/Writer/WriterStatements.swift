/// The writer's own statements, prepared once.
struct WriterStatements {
    let begin: Statement
    let commit: Statement
    let rollback: Statement
    let savepoint: Statement
    let release: Statement
    let rollbackToSavepoint: Statement
    let probe: Statement

    init(_ connection: Connection) throws(StoreError) {
        self.begin = try connection.prepare("BEGIN IMMEDIATE")
        self.commit = try connection.prepare("COMMIT")
        self.rollback = try connection.prepare("ROLLBACK")
        self.savepoint = try connection.prepare("SAVEPOINT closure")
        self.release = try connection.prepare("RELEASE closure")
        self.rollbackToSavepoint = try connection.prepare("ROLLBACK TO closure")
        self.probe = try connection.prepare("UPDATE store_probe SET written_at = $1 WHERE id = 1")
    }

    func finalize() {
        for statement: Statement in [
            self.begin, self.commit, self.rollback, self.savepoint, self.release, self.rollbackToSavepoint, self.probe,
        ] {
            statement.finalize()
        }
    }
}
