// SPDX-License-Identifier: BSD-3-Clause
// Database: a thin owner of one SQLite connection and its prepared statements.
//
// The file is not trusted: triggers, views and functions in its schema are off.
// Threading: one thread at a time. Not supported: text, floating point.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "ta/crypto/secret.h"

namespace vtee::ta {

// A statement in use: reset when it goes. Bound bytes must live until then.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement, int error) : statement_(statement), error_(error) {}
  ~Statement() {
    if (statement_ == nullptr) return;
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // In the order of the statement's question marks.
  Statement& Bind(std::int64_t value);
  Statement& Bind(std::uint64_t value) { return Bind(static_cast<std::int64_t>(value)); }
  Statement& Bind(ConstBytes bytes);
  // SQLITE_ROW, SQLITE_DONE or an error.
  int Step();

  std::int64_t Int(int column) const { return sqlite3_column_int64(statement_, column); }
  std::uint64_t Unsigned(int column) const { return static_cast<std::uint64_t>(Int(column)); }
  ConstBytes Blob(int column) const;  // until the next Step()

 private:
  sqlite3_stmt* statement_;
  int error_;
  int bound_ = 0;
};

class Database {
 public:
  // Creates the file with mode 0600 if there is none. `vfs`: nullptr for the default.
  static Result<std::unique_ptr<Database>> Open(const std::string& path, const char* vfs);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // `sql` must live as long as the database. One use of a statement at a time.
  Statement Use(const char* sql);
  int Run(const char* sql);  // statements without results; SQLITE_OK or an error
  // What is in the log when it is closed stays there, for who only looks.
  void KeepLog() { sqlite3_db_config(connection_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }
  bool InTransaction() const { return sqlite3_get_autocommit(connection_) == 0; }
  std::string message() const { return sqlite3_errmsg(connection_); }

 private:
  explicit Database(sqlite3* connection) : connection_(connection) {}
  Status Configure(const std::string& path);

  sqlite3* connection_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace vtee::ta
