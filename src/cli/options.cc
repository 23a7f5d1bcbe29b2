// SPDX-License-Identifier: BSD-3-Clause
#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "dialect/optee/profile.h"

#ifndef VTEE_VERSION
#error "VTEE_VERSION comes from CMake"
#endif

namespace vtee::cli {
namespace {

// What CLI11 fills in; checked and turned into RunOptions afterwards.
struct RunWords {
  RunOptions options;
  std::string conduit = "smc";
  std::string interrupt = "auto";
  std::string vmm_kind = "auto";
};

constexpr const char* kRunFooter =
    "\nThe VM's memory should be shareable, or each access to it is a slow copy; for QEMU:\n"
    "  vtee run --backend host -- qemu-system-aarch64 -machine virt,memory-backend=mem \\\n"
    "    -accel kvm -cpu host -m 2G -object memory-backend-memfd,id=mem,size=2G,share=on \\\n"
    "    -kernel Image -append console=ttyAMA0 -nographic\n"
    "\nvtee run ends as the VMM ends: with its exit status, or by the same signal.\n"
    "Signals sent to vtee run are forwarded to the VMM. Exit status 2: nothing was started,\n"
    "because of the command line or the host.\n";

// As CLI::IsMember, with a sentence for an answer and nothing in the help's type column.
CLI::Validator OneOf(const std::vector<std::string>& allowed) {
  return CLI::Validator(
      [allowed](const std::string& word) {
        if (std::find(allowed.begin(), allowed.end(), word) != allowed.end()) return std::string();
        std::string choice;
        for (const std::string& one : allowed) choice += (choice.empty() ? "" : " or ") + one;
        return fmt::format("must be {}, not '{}'", choice, word);
      },
      "");
}

std::vector<std::string> ProfileNames() {
  std::vector<std::string> names;
  names.reserve(optee::kProfiles.size());
  for (const optee::Profile& profile : optee::kProfiles) names.emplace_back(profile.name);
  return names;
}

CLI::App* AddRun(CLI::App& app, RunWords& words) {
  RunOptions& options = words.options;
  CLI::App* run =
      app.add_subcommand("run", "Start a VM with a TEE: vtee run [options] -- VMM args");
  run->footer(kRunFooter);
  run->add_option("--backend", options.backend,
                  "Where the TEE is: host[,device=/dev/teeN][,copy=...], user,keys=..., fake")
      ->type_name("B");
  run->add_option("--config", options.config, "vteed's configuration file")->type_name("FILE");
  run->add_option("--tee-profile", options.profile,
                  "What the guest's driver speaks: linux (default), linux-no-rpc-arg, static, "
                  "u-boot or edk2")
      ->check(OneOf(ProfileNames()))
      ->type_name("P");
  run->add_option("--window", options.window,
                  "Shared memory of profiles static and edk2 (default 4M@0xe000000)")
      ->type_name("SIZE[@ADDRESS]");
  run->add_option("--conduit", words.conduit, "The guest calls by smc (default) or hvc")
      ->check(OneOf({"smc", "hvc"}))
      ->type_name("C");
  run->add_option("--interrupt", words.interrupt,
                  "auto (default), none, or the SPI that wakes a waiting guest")
      ->type_name("N");
  run->add_option("--vmm", words.vmm_kind, "What the VMM is: auto (default), qemu or other")
      ->check(OneOf({"auto", "qemu", "other"}))
      ->type_name("KIND");
  run->add_flag("--no-dtb", options.no_dtb, "Leave the guest's device tree and ACPI tables alone");
  run->add_option("--name", options.name, "The VM's name, for logs")->type_name("NAME");
  run->add_option("--log-level", options.log_level, "debug, info, warning or error")
      ->check(OneOf({"debug", "info", "warning", "error"}))
      ->type_name("LEVEL");
  run->add_option("--log-file", options.log_file,
                  "vteed's log (default: $VTEE_LOG_FILE, else stderr)")
      ->type_name("FILE");
  run->add_flag("--dry-run", options.dry_run, "Check everything and say what would be done");
  run->add_option("--vteed", options.vteed, "vteed to use")->type_name("PATH");
  run->add_option("--shim", options.shim, "libvtee-kvm.so to use")->type_name("PATH");
  return run;
}

constexpr const char* kTaRunFooter =
    "\nThe program uses the TEE Client API (libteec); it may be built for arm64. Its TEE lives as\n"
    "long as it does; with state=FOLDER in --backend what TAs store stays.\n"
    "  vtee ta-run --ta-dir build/tas -- ./hello\n"
    "\nThe default, --backend user,keys=development, runs TAs signed with OP-TEE's public\n"
    "development keys: for development only.\n"
    "vtee ta-run ends as the program ends. Exit status 2: nothing was started.\n";

CLI::App* AddTaRun(CLI::App& app, TaRunOptions& options) {
  CLI::App* run = app.add_subcommand(
      "ta-run", "Run a program with a TEE, without a VM: vtee ta-run [options] -- PROGRAM args");
  run->footer(kTaRunFooter);
  run->add_option("--backend", options.backend, "Where the TEE is (default: user,keys=development)")
      ->type_name("B");
  run->add_option("--ta-dir", options.ta_folders,
                  "A folder with UUID.ta files (default: OP-TEE's, /lib/optee_armtz); repeatable")
      ->allow_extra_args(false)
      ->type_name("FOLDER");
  run->add_option("--gdb", options.gdb_port,
                  "Each TA waits for a debugger: the first at this TCP port, the next at the next")
      ->check(CLI::Range(1, 65535))
      ->type_name("PORT");
  run->add_option("--config", options.config, "vteed's configuration file")->type_name("FILE");
  run->add_option("--log-level", options.log_level, "debug, info, warning (default) or error")
      ->check(OneOf({"debug", "info", "warning", "error"}))
      ->type_name("LEVEL");
  run->add_option("--log-file", options.log_file,
                  "vteed's log (default: $VTEE_LOG_FILE, else stderr)")
      ->type_name("FILE");
  run->add_option("--vteed", options.vteed, "vteed to use")->type_name("PATH");
  return run;
}

Options Ended(int status) { return Options{std::nullopt, std::nullopt, std::nullopt, status}; }

Options Mistake(const std::string& sentence, const std::string& hint) {
  std::fprintf(stderr, "vtee: %s; see '%s'\n", sentence.c_str(), hint.c_str());
  return Ended(kUsageStatus);
}

Options FinishRun(RunWords& words, std::span<const std::string> vmm) {
  const std::string hint = "vtee help run";
  RunOptions& options = words.options;
  if (vmm.empty()) {
    return Mistake("run needs '--' and the VMM's command after its own options", hint);
  }
  options.vmm.assign(vmm.begin(), vmm.end());
  options.conduit = words.conduit == "smc" ? Conduit::kSmc : Conduit::kHvc;
  if (words.vmm_kind == "qemu") options.vmm_kind = VmmKind::kQemu;
  if (words.vmm_kind == "other") options.vmm_kind = VmmKind::kOther;
  const auto interrupt = ParseInterrupt(words.interrupt);
  if (!interrupt.ok()) return Mistake(interrupt.error().message, hint);
  options.interrupt = interrupt.value();
  const optee::Profile* profile = optee::FindProfile(options.profile);
  if (profile != nullptr && !profile->notifications &&
      options.interrupt.kind == InterruptChoice::Kind::kAuto) {
    options.interrupt.kind = InterruptChoice::Kind::kNone;
  }
  return Options{std::move(options), std::nullopt, std::nullopt, 0};
}

Options FinishTaRun(TaRunOptions& options, std::span<const std::string> program) {
  if (program.empty()) {
    return Mistake("ta-run needs '--' and the program's command after its own options",
                   "vtee help ta-run");
  }
  options.program.assign(program.begin(), program.end());
  return Options{std::nullopt, std::move(options), std::nullopt, 0};
}

// CLI11's texts, brought into the form of a sentence.
std::string Sentence(const CLI::ParseError& error, const std::string& word) {
  std::string text = error.what();
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::size_t colon = text.find(": ");
    const std::string words = colon == std::string::npos ? text : text.substr(colon + 2);
    return "there is no option or command '" + words + "'";
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    // "FOLDER is required"; else a subcommand is.
    const std::size_t is = text.find(" is required");
    if (is != std::string::npos && !text.starts_with("A "))
      return text.substr(0, is) + " is missing";
    return word.empty() ? "a command is missing" : "there is no option or command '" + word + "'";
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    return text.substr(0, text.find(':')) + " needs a value";
  }
  if (text.starts_with("--")) {  // of a check: "--conduit: must be ..."
    const std::size_t colon = text.find(':');
    if (colon != std::string::npos) text.erase(colon, 1);
  }
  return text;
}

// "help [command]" is the same as "[command] --help".
std::vector<std::string> UndoHelpCommand(std::span<const std::string> arguments) {
  std::vector<std::string> words(arguments.begin(), arguments.end());
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    // "help frob" must not show the general help as if it answered.
    constexpr const char* kCommands[] = {"run", "ta-run", "state"};
    if (words.empty() || std::ranges::find(kCommands, words.front()) != std::end(kCommands)) {
      words.push_back("--help");
    }
  }
  return words;
}

}  // namespace

Options ParseOptions(std::span<const std::string> arguments) {
  // Everything after the first "--" is another program's and none of CLI11's business.
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  const auto own_count = static_cast<std::size_t>(dashes - arguments.begin());
  const auto rest =
      dashes == arguments.end() ? std::span<const std::string>() : arguments.subspan(own_count + 1);
  RunWords words;
  CLI::App app("vtee: TEEs for virtual machines and programs, from userspace", "vtee");
  app.set_version_flag("--version", "vtee " VTEE_VERSION);
  app.require_subcommand(1);
  app.footer("\n'vtee help COMMAND' says more about one command.");
  CLI::App* run = AddRun(app, words);
  TaRunOptions ta_run_options;
  CLI::App* ta_run = AddTaRun(app, ta_run_options);
  StateOptions state;
  CLI::App* state_app = AddState(app, state);
  std::vector<std::string> own = UndoHelpCommand(arguments.first(own_count));
  // What stands where a command should.
  const std::size_t place = !own.empty() && own.front() == "state" ? 1 : 0;
  const std::string word = own.size() > place ? own[place] : "";
  std::reverse(own.begin(), own.end());  // CLI11 takes them from the back
  try {
    app.parse(own);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return Ended(app.exit(error));
    const char* hint = run->parsed()         ? "vtee help run"
                       : ta_run->parsed()    ? "vtee help ta-run"
                       : state_app->parsed() ? "vtee help state"
                                             : "vtee help";
    return Mistake(Sentence(error, word), hint);
  }
  if (state_app->parsed()) return Options{std::nullopt, std::nullopt, std::move(state), 0};
  return ta_run->parsed() ? FinishTaRun(ta_run_options, rest) : FinishRun(words, rest);
}

}  // namespace vtee::cli
