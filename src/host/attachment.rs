//! What is attached to a domain: its guest's monitor and agent, and the program's hooks.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde_json::{Value, json};

use super::hooks::Hooks;
use crate::data::Beside;
use crate::data::live::Access;
use crate::data::progress::{Progress, Wish};
use crate::data::qmp::{Agent, AgentCommands, Commands, Monitor, Status, answered, status};
use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::State;

/// The way to a domain's guest. Without a monitor there is none: the domain is shut off.
#[derive(Default)]
pub struct Attachment {
    monitor: RwLock<Option<Arc<Monitor>>>,
    agent: RwLock<Option<Arc<Agent>>>,
    hooks: RwLock<Option<Arc<dyn Hooks>>>,
    /// The operation under way is to be stopped.
    is_cancelled: AtomicBool,
    /// Who else is told how far an operation is.
    told: Option<Tell>,
}

/// Is told how far an operation is.
type Tell = Box<dyn Fn(u64, u64) + Send + Sync>;

impl Attachment {
    /// With somebody who is told how far operations are.
    pub fn told(tell: Tell) -> Attachment {
        Attachment {
            told: Some(tell),
            ..Attachment::default()
        }
    }

    /// Attaches a running guest's monitor, which may take that long for an answer, and its agent
    /// where there is one.
    pub fn attach(&self, monitor: &Path, agent: Option<&Path>, reply: Duration) -> Result<()> {
        let connected = Monitor::connect_within(monitor, reply)?;
        *self.monitor.write() = Some(Arc::new(connected));
        *self.agent.write() = agent.map(|socket| Arc::new(Agent::new(socket.to_owned())));
        Ok(())
    }

    /// Lets the guest go.
    pub fn detach(&self) {
        *self.monitor.write() = None;
        *self.agent.write() = None;
    }

    /// Puts a program's hooks in place of those there were.
    pub fn set_hooks(&self, hooks: Option<Arc<dyn Hooks>>) {
        let before = std::mem::replace(&mut *self.hooks.write(), hooks);
        // The program is told that it is of no use any more, and in a thread that is ending at once: the
        // lock is let go.
        drop(before);
    }

    /// The program's hooks. No lock is held while they are called: they may call us.
    pub fn hooks(&self) -> Option<Arc<dyn Hooks>> {
        self.hooks.read().clone()
    }

    /// Whether the program captures, restores and drops data itself.
    pub fn has_own_data(&self) -> bool {
        self.hooks().is_some_and(|hooks| hooks.has_own_data())
    }

    /// Asks the long operation under way to stop, if there is one.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Begins to watch an operation: what was asked of an earlier one counts no more.
    pub fn begin(&self) {
        self.is_cancelled.store(false, Ordering::Relaxed);
    }

    /// Where monitor commands go, if there is a guest.
    pub fn commands(&self) -> Option<Arc<dyn Commands>> {
        let hooks = self.hooks();
        let commands: Arc<dyn Commands> = match &hooks {
            Some(hooks) if hooks.has_monitor() => Arc::new(ThroughHooks(Arc::clone(hooks))),
            _ => self.monitor.read().clone()?,
        };
        Some(match hooks {
            Some(hooks) => Arc::new(OwnPower { commands, hooks }),
            None => commands,
        })
    }

    /// Where agent commands go, if there is an agent.
    pub fn agent(&self) -> Option<Arc<dyn AgentCommands>> {
        match self.hooks() {
            Some(hooks) if hooks.has_agent() => Some(Arc::new(ThroughHooks(hooks))),
            _ => Some(self.agent.read().clone()? as Arc<dyn AgentCommands>),
        }
    }

    /// The guest's state, by the program's word or by its monitor. A guest whose monitor is gone
    /// is gone.
    pub fn state(&self) -> Result<State> {
        if let Some(state) = self.hooks().and_then(|hooks| hooks.state()) {
            return state;
        }
        let Some(commands) = self.commands() else {
            return Ok(State::Shutoff);
        };
        match Status::of(&*commands) {
            Ok(status) => Ok(status.state()),
            Err(_) if commands.is_gone() => {
                self.forget_gone();
                Ok(State::Shutoff)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the guest's process: by the program's hand, or by a command of its monitor.
    pub fn stop(&self) -> Result<()> {
        if let Some(stopped) = self.hooks().and_then(|hooks| hooks.stop()) {
            stopped?;
            self.detach();
            return Ok(());
        }
        let commands = self.required()?;
        let said = commands.execute("quit", Value::Null);
        // QEMU closes its monitors last, when it has let go of its images.
        let deadline = Instant::now() + limits::MONITOR_REPLY;
        while !commands.is_gone() && Instant::now() < deadline {
            let _ = Status::of(&*commands);
            commands.wait(limits::JOB_LOOK);
        }
        if commands.is_gone() {
            self.forget_gone();
            return Ok(());
        }
        said.and(Err(Error::GuestState {
            detail: "the guest was told to end and goes on".to_owned(),
        }))
    }

    /// Lets the guest's CPUs run.
    pub fn resume(&self) -> Result<()> {
        status::resume(&*self.required()?)
    }

    fn required(&self) -> Result<Arc<dyn Commands>> {
        Attachment::commands(self).ok_or_else(|| Error::GuestState {
            detail: "no monitor is attached to the domain".to_owned(),
        })
    }

    /// Another thread may have attached the next guest meanwhile.
    fn forget_gone(&self) {
        let mut monitor = self.monitor.write();
        if monitor.as_ref().is_some_and(|monitor| monitor.is_gone()) {
            *monitor = None;
            *self.agent.write() = None;
        }
    }
}

impl Access for Attachment {
    fn commands(&self) -> Result<Option<Arc<dyn Commands>>> {
        let state = match self.hooks().and_then(|hooks| hooks.state()) {
            Some(state) => state?,
            // What it does is for the operation to ask.
            None => match Attachment::commands(self) {
                Some(commands) if commands.is_connected() => return Ok(Some(commands)),
                _ => self.state()?,
            },
        };
        if state == State::Shutoff {
            return Ok(None);
        }
        match Attachment::commands(self) {
            Some(commands) => Ok(Some(commands)),
            None => Err(Error::GuestState {
                detail: "the guest runs, but no monitor is attached to its domain".to_owned(),
            }),
        }
    }

    fn agent(&self) -> Option<Arc<dyn AgentCommands>> {
        Attachment::agent(self)
    }

    fn progress(&self) -> &dyn Progress {
        self
    }

    fn create_data(&self, document: &str, flags: u32) -> Option<Result<()>> {
        self.hooks()?.create_data(document, flags)
    }

    fn revert_data(&self, document: &str, flags: u32) -> Option<Result<()>> {
        self.hooks()?.revert_data(document, flags)
    }

    fn delete_data(&self, document: &str) -> Option<Result<()>> {
        self.hooks()?.delete_data(document)
    }

    fn has_own_data(&self) -> bool {
        Attachment::has_own_data(self)
    }
}

impl Progress for Attachment {
    fn report(&self, done: u64, total: u64) -> Wish {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Wish::Stop;
        }
        if let Some(tell) = &self.told {
            tell(done, total);
        }
        let hooks = self.hooks();
        let wish = hooks.map_or(Wish::GoOn, |hooks| hooks.progress(done, total));
        if wish == Wish::Stop {
            // What is left of the operation is not wished either.
            self.cancel();
        }
        wish
    }
}

/// Commands, two of which the program may want to carry out itself.
struct OwnPower {
    commands: Arc<dyn Commands>,
    hooks: Arc<dyn Hooks>,
}

impl Commands for OwnPower {
    fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Value> {
        let done = match command {
            "stop" => self.hooks.pause(),
            "cont" => self.hooks.resume(),
            _ => None,
        };
        match done {
            Some(done) => done.map(|()| Value::Null),
            None => self.commands.execute_with(command, arguments, descriptor),
        }
    }

    fn wait(&self, time: Duration) {
        self.commands.wait(time);
    }

    fn is_gone(&self) -> bool {
        self.commands.is_gone()
    }

    fn is_connected(&self) -> bool {
        self.commands.is_connected()
    }

    fn execute_beside(&self, command: &str, arguments: Value, beside: Beside<'_>) -> Result<Value> {
        self.commands.execute_beside(command, arguments, beside)
    }
}

/// Commands that the program passes on.
struct ThroughHooks(Arc<dyn Hooks>);

impl Commands for ThroughHooks {
    fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Value> {
        let mut request = json!({ "execute": command });
        if let (Value::Object(arguments), Some(request)) = (arguments, request.as_object_mut()) {
            request.insert("arguments".to_owned(), arguments.into());
        }
        let answer = self.0.monitor_command(&request.to_string(), descriptor);
        let answer = answer.ok_or_else(|| no_answer(command))??;
        answered(command, parsed(command, &answer)?)
    }
}

impl AgentCommands for ThroughHooks {
    fn command(&self, command: &str, time: Duration) -> Result<Value> {
        let request = json!({ "execute": command }).to_string();
        let answer = self.0.agent_command(&request, time);
        let mut answer = parsed(command, &answer.ok_or_else(|| no_answer(command))??)?;
        match answer.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(Error::AgentRefused {
                command: command.to_owned(),
                reason: answer.to_string().chars().take(1000).collect(),
            }),
        }
    }
}

fn no_answer(command: &str) -> Error {
    Error::MonitorRefused {
        command: command.to_owned(),
        reason: "the program has no callback for it any more".to_owned(),
    }
}

fn parsed(command: &str, answer: &str) -> Result<Value> {
    serde_json::from_str(answer).map_err(|error| Error::MonitorRefused {
        command: command.to_owned(),
        reason: format!("the program's answer is no JSON: {error}"),
    })
}
