// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/database.h"

#include <fcntl.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace vtee::ta {

Statement& Statement::Bind(std::int64_t value) {
  if (error_ == SQLITE_OK) error_ = sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::Bind(ConstBytes bytes) {
  // A null pointer would be NULL, which is no blob.
  const void* data = bytes.empty() ? "" : static_cast<const void*>(bytes.data());
  if (error_ == SQLITE_OK) {
    error_ = sqlite3_bind_blob64(statement_, ++bound_, data, bytes.size(), SQLITE_STATIC);
  }
  return *this;
}

int Statement::Step() { return error_ != SQLITE_OK ? error_ : sqlite3_step(statement_); }

ConstBytes Statement::Blob(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (data == nullptr) return {};
  return {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)};
}

Result<std::unique_ptr<Database>> Database::Open(const std::string& path, const char* vfs) {
  // SQLite gives its other files the mode of this one.
  // Closed before SQLite has locks, which would go with it.
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoError(errno, "cannot open " + path);
  fd.Reset();
  sqlite3* connection = nullptr;
  const int error =
      sqlite3_open_v2(path.c_str(), &connection,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
  if (connection == nullptr) return ErrnoError(ENOMEM, "cannot open " + path);
  std::unique_ptr<Database> database(new Database(connection));
  if (error != SQLITE_OK) {
    return Error{ErrorCode::kSystem, "cannot open " + path + ": " + database->message()};
  }
  VTEE_TRY(database->Configure(path));
  return database;
}

Status Database::Configure(const std::string& path) {
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  // Before the journal mode: with the lock for itself, SQLite needs no shared memory file.
  for (const char* sql :
       {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA cell_size_check=ON", "PRAGMA journal_mode=WAL",
        "PRAGMA journal_size_limit=4194304", "PRAGMA synchronous=FULL"}) {
    const int error = Run(sql);
    if (error == SQLITE_OK) continue;
    const bool damaged = (error & 0xFF) == SQLITE_NOTADB || (error & 0xFF) == SQLITE_CORRUPT;
    return Error{damaged ? ErrorCode::kInvalidArgument : ErrorCode::kSystem,
                 damaged ? path + " is damaged or no store of vtee: put back the newest copy of it"
                         : "cannot use " + path + ": " + message()};
  }
  return {};
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

Statement Database::Use(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  int error = SQLITE_OK;
  if (statement == nullptr) {
    error =
        sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  }
  return Statement(statement, error);
}

int Database::Run(const char* sql) {
  return sqlite3_exec(connection_, sql, nullptr, nullptr, nullptr);
}

}  // namespace vtee::ta
