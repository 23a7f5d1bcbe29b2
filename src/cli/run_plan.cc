// SPDX-License-Identifier: BSD-3-Clause
#include "cli/run_plan.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <span>
#include <sstream>

#include "cli/acpi_table.h"
#include "cli/device_tree.h"
#include "cli/executable.h"
#include "cli/install_paths.h"
#include "cli/key_descriptor.h"
#include "cli/option_rom.h"
#include "cli/qemu_arguments.h"
#include "cli/supervisor.h"
#include "cli/tee_node.h"
#include "dialect/optee/profile.h"

namespace vtee::cli {
namespace {

constexpr std::chrono::seconds kCheckLimit{30};
constexpr std::chrono::seconds kDumpLimit{120};  // slow machines, nested virtualization

// The last line that begins as a program's own messages do, without that beginning; else simply
// the last line.
std::string LastSentence(const std::string& output, const std::string& program) {
  std::istringstream lines(output);
  std::string last, last_own;
  const std::string prefix = program + ": ";
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.starts_with(prefix)) last_own = line.substr(prefix.size());
    last = std::move(line);
  }
  return last_own.empty() ? last : last_own;
}

bool Succeeded(const Captured& run) {
  return WIFEXITED(run.wait_status) && WEXITSTATUS(run.wait_status) == 0;
}

class Planner {
 public:
  Planner(const RunOptions& options, const Surroundings& surroundings, SignalQueue& signals)
      : options_(options), surroundings_(surroundings), signals_(signals) {}

  Plan Make() {
    plan_.host = surroundings_.check_host();
    for (const std::string& problem : plan_.host.problems) plan_.problems.push_back(problem);
    TakeKey();
    LocateParts();
    FindVmm();
    DecideMemory();
    AnalyzeVmm();
    // Asked first of all that costs something: who has no TEE needs no device tree.
    if (Worthwhile()) CheckBackend();
    if (Worthwhile() && vmm_usable_ && tree_wanted_) Note(PrepareTree());
    PlanVteed();
    return std::move(plan_);
  }

 private:
  // A dry run shows as much as it can; a real one stops at the first kind of problem.
  bool Worthwhile() const {
    return plan_.interrupted_by == 0 && (plan_.problems.empty() || options_.dry_run);
  }
  void Note(const Status& status) {
    if (!status.ok()) plan_.problems.push_back(status.error().message);
  }

  void TakeKey() {
    const auto fd = TakeKeyDescriptor(options_.backend);
    if (!fd.ok()) plan_.problems.push_back(fd.error().message);
    if (fd.ok() && *fd) plan_.vteed_descriptors.push_back(**fd);
  }

  void LocateParts() {
    const auto vteed = LocateVteed(options_.vteed, surroundings_.own_folder);
    if (vteed.ok()) {
      plan_.vteed = vteed.value();
    } else {
      plan_.problems.push_back(vteed.error().message);
    }
    const auto shim = LocateShim(options_.shim, surroundings_.own_folder);
    if (shim.ok()) {
      plan_.shim = shim.value();
    } else {
      plan_.problems.push_back(shim.error().message);
    }
  }

  void FindVmm() {
    plan_.vmm_program = options_.vmm.front();
    plan_.vmm_arguments.assign(options_.vmm.begin() + 1, options_.vmm.end());
    const auto program = FindProgram(options_.vmm.front(), surroundings_.path);
    if (!program.ok()) {
      plan_.problems.push_back(program.error().message);
      return;
    }
    plan_.vmm_program = program.value();
    Note(CheckPreloadable(plan_.vmm_program));
    vmm_usable_ = true;
  }

  // Guest and TEE share a window only, or the guest's memory: the profile says, and what a
  // configuration file says only vteed knows.
  void DecideMemory() {
    if (const optee::Profile* profile = optee::FindProfile(options_.profile)) {
      window_ = profile->window;
    } else if (!options_.config.empty() && Worthwhile()) {
      CheckBackend();
    }
  }

  void AnalyzeVmm() {
    const bool qemu = options_.vmm_kind == VmmKind::kQemu ||
                      (options_.vmm_kind == VmmKind::kAuto && LooksLikeQemu(options_.vmm.front()));
    if (!qemu) {
      NoTree(fmt::format("vtee does not know the VMM {}{}", options_.vmm.front(),
                         window_ ? "" : "; shareable guest memory is faster than private"));
      return;
    }
    qemu_ = ParseQemu(options_.vmm.front(), plan_.vmm_arguments);
    tree_wanted_ = !options_.no_dtb;
    std::vector<std::string> problems = CheckQemu(*qemu_, tree_wanted_, !window_);
    if (!problems.empty()) vmm_usable_ = false;
    plan_.problems.insert(plan_.problems.end(), problems.begin(), problems.end());
    const std::string advice = window_ ? "" : MemoryAdvice(*qemu_);
    if (problems.empty() && !advice.empty()) plan_.notes.push_back(advice);
    if (!tree_wanted_) NoTree("the device tree stays as it is (--no-dtb)");
  }

  // Without a tree of vtee's making, only an interrupt that the person names can be right.
  void NoTree(const std::string& why) {
    if (options_.interrupt.kind == InterruptChoice::Kind::kNumber) spi_ = options_.interrupt.spi;
    plan_.notes.push_back(fmt::format("{}; describe the TEE to the guest as {}", why,
                                      DescribeTeeNode(options_.conduit, spi_)));
  }

  // Nothing if the run could not be made, ended badly or was interrupted: that is noted.
  std::optional<std::string> Probe(const std::string& program,
                                   const std::vector<std::string>& arguments,
                                   std::chrono::seconds limit, const std::string& failure) {
    SpawnSpec spec;
    spec.program = program;
    spec.arguments = arguments;
    if (program == plan_.vteed) spec.inherited = plan_.vteed_descriptors;
    std::vector<std::string> unset = {"VTEE_FD", "VTEE_SOCKET"};
    if (options_.dry_run) unset.push_back("VTEE_LOG_FILE");
    spec.environment = ChangedEnvironment(unset);
    spec.death_signal = SIGKILL;
    const auto run = RunCaptured(spec, signals_, limit);
    if (!run.ok()) {
      plan_.problems.push_back(failure + run.error().message);
      return std::nullopt;
    }
    if (run->interrupted_by != 0) {
      plan_.interrupted_by = run->interrupted_by;
      return std::nullopt;
    }
    if (Succeeded(run.value())) return run->output;
    const std::string own_name =
        program == plan_.vteed ? "vteed" : program.substr(program.rfind('/') + 1);
    const std::string said = LastSentence(run->output, own_name);
    plan_.problems.push_back(failure +
                             (said.empty() ? "it " + DescribeEnd(run->wait_status) : said));
    return std::nullopt;
  }

  void CheckBackend() {
    if (plan_.vteed.empty() || !plan_.backend_check.empty()) return;
    // A dry run leaves no log file behind.
    std::vector<std::string> arguments = VteedArguments(/*with_log=*/!options_.dry_run);
    arguments.insert(arguments.begin(), "--check");
    const auto said = Probe(plan_.vteed, arguments, kCheckLimit, "");
    if (said && ("\n" + *said).find("\nwindow: ") != std::string::npos) window_ = true;
    plan_.backend_check = said ? LastSentence(*said, "vteed") : "refused";
  }

  Status PrepareTree() {
    VTEE_ASSIGN_OR_RETURN(plan_.folder, TempDir::Create());
    std::string source = qemu_->device_tree;
    if (source.empty()) {
      source = plan_.folder->File("qemu.dtb");
      if (!DumpTree(source)) return {};  // noted already
    }
    VTEE_ASSIGN_OR_RETURN(DeviceTree tree, DeviceTree::Load(source));
    VTEE_ASSIGN_OR_RETURN(spi_, AddTeeNode(tree, options_.conduit, options_.interrupt));
    const std::string edited = plan_.folder->File("guest.dtb");
    VTEE_TRY(tree.Save(edited));
    plan_.tree_change = fmt::format("{} in {}", DescribeTeeNode(options_.conduit, spi_),
                                    qemu_->device_tree.empty() ? "QEMU's own tree" : source);
    plan_.vmm_arguments = WithDeviceTree(*qemu_, edited);
    return qemu_->UsesAcpi() ? PrepareTable() : Status();
  }

  // Firmware that gives the guest ACPI tables gives it no device tree: the TEE must be in both.
  Status PrepareTable() {
    const std::string path = plan_.folder->File("acpi.rom");
    std::ofstream file(path, std::ios::binary);
    file << OptionRom(TeeTable(options_.conduit, spi_));
    if (!file.flush()) return ErrnoError(errno, "cannot write " + path);
    AddOptionRom(plan_.vmm_arguments, path);
    plan_.acpi_change = DescribeTeeTable(options_.conduit, spi_);
    plan_.notes.push_back(
        "firmware that describes the machine by ACPI tables, as EDK2 does, takes the TEE's from "
        "the "
        "option ROM of an added device pci-testdev, unless it enforces Secure Boot; with -machine "
        "acpi=off the guest gets the device tree instead");
    return {};
  }

  bool DumpTree(const std::string& path) {
    DumpOptions dump;
    dump.tree_path = path;
    dump.firmware_path = plan_.folder->File("firmware");
    dump.emulate = !plan_.host.problems.empty();
    if (qemu_->HasFirmware()) std::ofstream(dump.firmware_path) << std::string(4096, '\0');
    const std::vector<std::string> arguments = DumpArguments(*qemu_, dump);
    plan_.dump_command = {plan_.vmm_program};
    plan_.dump_command.insert(plan_.dump_command.end(), arguments.begin(), arguments.end());
    if (!Probe(plan_.vmm_program, arguments, kDumpLimit, "QEMU did not give its device tree: ")) {
      return false;
    }
    if (access(path.c_str(), R_OK) == 0) return true;
    plan_.problems.push_back(
        "QEMU did not write its device tree; give it your own with -dtb, or vtee --no-dtb");
    return false;
  }

  std::vector<std::string> VteedArguments(bool with_log) const {
    std::vector<std::string> arguments;
    const auto add = [&](const char* option, const std::string& value) {
      if (!value.empty()) arguments.push_back(fmt::format("--{}={}", option, value));
    };
    add("backend", options_.backend);
    add("config", options_.config);
    add("tee-profile", options_.profile);
    add("window", options_.window);
    add("name", VmName());
    add("log-level", options_.log_level);
    if (with_log) add("log-file", options_.log_file);
    return arguments;
  }

  std::string VmName() const {
    if (!options_.name.empty()) return options_.name;
    if (qemu_ && !qemu_->name.empty()) return qemu_->name;
    return "vm";
  }

  void PlanVteed() {
    plan_.vteed_arguments = VteedArguments(/*with_log=*/true);
    // Always said, so that no configuration file disagrees with the guest's device tree.
    plan_.vteed_arguments.push_back(spi_ ? fmt::format("--interrupt={}", *spi_) : "--interrupt=-1");
    const char* from_environment = std::getenv("VTEE_LOG_FILE");
    plan_.vteed_log = options_.log_file;
    if (plan_.vteed_log.empty() && from_environment != nullptr) plan_.vteed_log = from_environment;
  }

  const RunOptions& options_;
  const Surroundings& surroundings_;
  SignalQueue& signals_;
  Plan plan_;
  std::optional<QemuCommand> qemu_;
  std::optional<std::uint32_t> spi_;
  bool window_ = false;  // vteed sees a window and none of the guest's memory
  bool vmm_usable_ = false;
  bool tree_wanted_ = false;
};

bool NeedsQuotes(const std::string& word) {
  return word.empty() || word.find_first_not_of(
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                             "@%+=:,./_-") != std::string::npos;
}

std::vector<std::string> Joined(const std::string& program,
                                const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

}  // namespace

Plan MakePlan(const RunOptions& options, const Surroundings& surroundings, SignalQueue& signals) {
  return Planner(options, surroundings, signals).Make();
}

std::string Quote(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!NeedsQuotes(word)) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::string Describe(const Plan& plan) {
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{}: {}\n", name, value);
  };
  for (const std::string& fact : plan.host.facts) text += fact + '\n';
  line("vteed --check", plan.backend_check);
  if (!plan.dump_command.empty()) line("device tree from", Quote(plan.dump_command));
  line("device tree gets", plan.tree_change);
  line("ACPI gets", plan.acpi_change);
  std::vector<std::string> vteed = Joined(plan.vteed, plan.vteed_arguments);
  vteed.push_back("--fd=<one per VM>");
  if (!plan.vteed.empty()) line("vteed", Quote(vteed));
  line("vteed log", plan.vteed_log.empty() ? "stderr" : plan.vteed_log);
  if (!plan.shim.empty()) {
    line("VMM environment", ShimEnvironment(plan.shim, 0).front() + " VTEE_FD=<socket>");
  }
  line("VMM", Quote(Joined(plan.vmm_program, plan.vmm_arguments)));
  for (const std::string& note : plan.notes) line("note", note);
  for (const std::string& problem : plan.problems) line("problem", problem);
  return text;
}

}  // namespace vtee::cli
